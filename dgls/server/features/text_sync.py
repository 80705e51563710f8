"""didOpen, didChange, didClose: keep the documents up to date. Plain functions, so that edits apply in order.

A document with a change that cannot be read is out of step: it counts as closed until its whole text arrives.
"""

from __future__ import annotations

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.server.documents import edit, open_document
from dgls.server.session import Session


def register(server: LanguageServer, session: Session) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        open_document(session, params.text_document)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        edit(server, session, params.text_document, params.content_changes)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        session.forget(params.text_document.uri)
