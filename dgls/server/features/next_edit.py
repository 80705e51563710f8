"""dgls/nextEdit and its relatives: what an edit made unlikely elsewhere, as one small change at a time.

`textDocument/copilotInlineEdit` is the same in the form of Copilot's server, for clients that speak that.
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.errors import BadParameters
from dgls.server.next_edit.parameters import answered_from, asking_from, copilots_asking_from
from dgls.server.session import Session

NEXT_EDIT = "dgls/nextEdit"
ANSWERED = "dgls/nextEditAnswered"
PLACES = "dgls/nextEditPlaces"
COPILOT = "textDocument/copilotInlineEdit"
ACCEPTED = "dgls.nextEditAccepted"


def register(server: LanguageServer, session: Session) -> None:
    @server.feature(NEXT_EDIT)
    async def next_edit(params: object) -> dict[str, Any]:
        asking_from(NEXT_EDIT, params)
        return {"edit": None, "reason": ""}

    @server.feature(PLACES)
    def places(params: object) -> dict[str, Any]:
        asking_from(PLACES, params)
        return {"places": []}

    @server.feature(ANSWERED)
    def answered(params: object) -> None:
        answered_from(ANSWERED, params)

    @server.feature(COPILOT)
    async def copilot(params: object) -> dict[str, Any]:
        copilots_asking_from(COPILOT, params)
        return {"edits": []}

    @server.feature("textDocument/didShowInlineEdit")
    def did_show(params: object) -> None: ...

    @server.feature("textDocument/didFocus")
    def did_focus(params: object) -> None: ...

    @server.command(ACCEPTED)
    async def accepted(params: types.ExecuteCommandParams) -> dict[str, Any]:
        (id,) = params.arguments or (None,)
        if not isinstance(id, str):
            raise BadParameters(f"{ACCEPTED} takes the id of a proposal (docs/protocol.md)")
        return {"applied": False}
