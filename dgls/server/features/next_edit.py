"""dgls/nextEdit and its relatives: what an edit made unlikely elsewhere, as one small change at a time.

`textDocument/copilotInlineEdit` is the same in the form of Copilot's server, for clients that speak that.
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.errors import BadParameters
from dgls.server.next_edit.edited import Proposal
from dgls.server.next_edit.parameters import answered_from, asking_from, copilots_asking_from
from dgls.server.next_edit.proposing import places_now, propose
from dgls.server.next_edit.rendering import for_copilots_client, shown
from dgls.server.session import Session

NEXT_EDIT = "dgls/nextEdit"
ANSWERED = "dgls/nextEditAnswered"
PLACES = "dgls/nextEditPlaces"
COPILOT = "textDocument/copilotInlineEdit"
ACCEPTED = "dgls.nextEditAccepted"


def register(server: LanguageServer, session: Session) -> None:
    @server.feature(NEXT_EDIT)
    async def next_edit(params: Any) -> dict[str, Any]:
        asking = asking_from(NEXT_EDIT, params)
        outcome = await propose(session, asking)
        if isinstance(outcome, Proposal):
            return {"edit": {"id": outcome.id, **shown(session, outcome.place)}, "reason": ""}
        return {"edit": None, "reason": outcome if asking.invoked else ""}

    @server.feature(PLACES)
    async def places(params: Any) -> dict[str, Any]:
        found = await places_now(session, asking_from(PLACES, params))
        return {"places": [shown(session, place) for place in found]}

    @server.feature(ANSWERED)
    def answered(params: Any) -> None:
        answer, edited = answered_from(ANSWERED, params), session.edited
        proposal = edited.proposal if edited is not None else None
        if edited is not None and proposal is not None and proposal.id == answer.id and not answer.accepted:
            session.edited = edited.refusing(proposal)

    @server.feature(COPILOT)
    async def copilot(params: Any) -> dict[str, Any]:
        outcome = await propose(session, copilots_asking_from(COPILOT, params))
        found = [outcome] if isinstance(outcome, Proposal) else []
        return {"edits": [for_copilots_client(session, each, ACCEPTED) for each in found]}

    @server.feature("textDocument/didShowInlineEdit")
    def did_show(params: Any) -> None: ...

    @server.feature("textDocument/didFocus")
    def did_focus(params: Any) -> None: ...

    @server.command(ACCEPTED)
    async def accepted(params: types.ExecuteCommandParams) -> dict[str, Any]:
        """The change itself has told the server already."""
        if len(params.arguments or ()) != 1:
            raise BadParameters(f"{ACCEPTED} takes one argument, the id of a proposal (docs/protocol.md)")
        return {"applied": False}
