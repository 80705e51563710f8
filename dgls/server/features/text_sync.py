"""didOpen, didChange, didClose: keep the documents up to date. Plain functions, so that edits apply in order."""

from __future__ import annotations

import logging

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.code.document import Change, Document
from dgls.server.positions import position_of
from dgls.server.session import Session

logger = logging.getLogger(__name__)


def register(server: LanguageServer, session: Session) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        session.forget(item.uri)  # a client may open a document twice, in another language
        session.documents[item.uri] = Document(item.uri, item.version, item.language_id, item.text)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        uri, version = params.text_document.uri, params.text_document.version
        if uri not in session.documents:
            logger.warning("A change to %s, which is not open, is ignored", uri)
            return
        session.edit(uri, [_change(change) for change in params.content_changes], version)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        session.forget(params.text_document.uri)


def _change(change: types.TextDocumentContentChangeEvent) -> Change:
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        return Change(change.text)
    return Change(change.text, position_of(change.range.start), position_of(change.range.end))
