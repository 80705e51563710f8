"""workspace/executeCommand: the actions for clients that can't resolve them, and for extensions that ask for words.

`dgls.act` does what a listed action says, `dgls.rewrite` and `dgls.fill` what their parameters say (docs/protocol.md).
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.code.document import Document
from dgls.errors import BadParameters
from dgls.server.actions.parameters import Asked, act_from, filling_from, rewriting_from
from dgls.server.actions.perform import apply, perform, tell
from dgls.server.actions.workspace_edit import BROKEN, Change, workspace_edit
from dgls.server.session import Session

Result = dict[str, Any]


def register(server: LanguageServer, session: Session) -> None:
    async def make(asked: Asked, params: types.ExecuteCommandParams) -> Result:
        if not session.client.applies_edits:
            raise BadParameters(
                f"{params.command}: this client makes no edits (workspace.applyEdit): it has to resolve"
            )

        async def performed() -> bool:
            (change,) = await perform(server, session, [asked], params.work_done_token)
            return await apply(server, session, change)

        return {"applied": bool(await tell(server, performed()))}

    @server.command("dgls.act")
    async def act(params: types.ExecuteCommandParams) -> Result:
        return await make(act_from(params.arguments), params)

    @server.command("dgls.fill")
    async def fill(params: types.ExecuteCommandParams) -> Result:
        filling = filling_from(params.arguments)
        document = _document(session, filling.uri)
        return await make(filling.asked(document, session.client.encoding), params)

    @server.command("dgls.rewrite")
    async def rewrite(params: types.ExecuteCommandParams) -> Result:
        rewriting = rewriting_from(params.arguments)
        document = _document(session, rewriting.uri)
        asked = rewriting.asked(document, session.client.encoding)
        if not rewriting.preview:
            return await make(asked[0], params)
        changes = await tell(server, perform(server, session, asked, params.work_done_token))
        return {"applied": False, "candidates": [_shown(session, change) for change in changes or ()]}


def _document(session: Session, uri: str) -> Document:
    document = session.documents.get(uri)
    if document is None:
        raise BadParameters(f"{uri} is not open: open it first")
    return document


def _shown(session: Session, change: Change) -> Result:
    return {
        "edit": workspace_edit(change, session.client),
        **({} if change.confidence is None else {"confidence": round(change.confidence, 3)}),
        "warning": BROKEN if change.breaks else "",
    }
