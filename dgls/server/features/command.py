"""workspace/executeCommand: actions for clients that can't resolve them, and for extensions with input of their own.

`dgls.act` performs a listed action. `dgls.rewrite` and `dgls.fill` take parameters (docs/protocol.md).
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.code.document import Document
from dgls.errors import BadParameters
from dgls.server.actions.parameters import ActionRequest, act_from, filling_from, rewriting_from
from dgls.server.actions.perform import apply, perform, report_errors
from dgls.server.actions.workspace_edit import BROKEN, Proposal, workspace_edit
from dgls.server.session import Session

Result = dict[str, Any]


def register(server: LanguageServer, session: Session) -> None:
    async def perform_and_apply(request: ActionRequest, params: types.ExecuteCommandParams) -> Result:
        if not session.client.applies_edits:
            raise BadParameters(
                f"{params.command}: this client applies no edits (workspace.applyEdit); it has to resolve the action"
            )

        async def performed() -> bool:
            (proposal,) = await perform(server, session, [request], params.work_done_token)
            return await apply(server, session, proposal)

        return {"applied": bool(await report_errors(server, performed()))}

    @server.command("dgls.act")
    async def act(params: types.ExecuteCommandParams) -> Result:
        return await perform_and_apply(act_from(params.arguments), params)

    @server.command("dgls.fill")
    async def fill(params: types.ExecuteCommandParams) -> Result:
        filling = filling_from(params.arguments)
        document = _document(session, filling.uri)
        return await perform_and_apply(filling.action_request(document, session.client.encoding), params)

    @server.command("dgls.rewrite")
    async def rewrite(params: types.ExecuteCommandParams) -> Result:
        rewriting = rewriting_from(params.arguments)
        document = _document(session, rewriting.uri)
        requests = rewriting.requests(document, session.client.encoding)
        if not rewriting.preview:
            return await perform_and_apply(requests[0], params)
        proposals = await report_errors(server, perform(server, session, requests, params.work_done_token))
        return {"applied": False, "candidates": [_candidate(session, proposal) for proposal in proposals or ()]}


def _document(session: Session, uri: str) -> Document:
    document = session.documents.get(uri)
    if document is None:
        raise BadParameters(f"{uri} is not open: open it first")
    return document


def _candidate(session: Session, proposal: Proposal) -> Result:
    return {
        "edit": workspace_edit(proposal, session.client),
        **({} if proposal.confidence is None else {"confidence": round(proposal.confidence, 3)}),
        "warning": BROKEN if proposal.breaks else "",
    }
