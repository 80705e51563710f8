"""didOpen, didChange, didClose: keep the documents up to date. Plain functions, so that edits apply in order.

A document with a change that cannot be read is out of step: it counts as closed until its whole text arrives.
"""

from __future__ import annotations

import logging

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.code.document import Change, Document
from dgls.server.leniency import UNKNOWN_VERSION
from dgls.server.positions import position_of
from dgls.server.session import Session

logger = logging.getLogger(__name__)


OUT_OF_STEP = (
    "dgls cannot follow a change of an open file, so it suggests nothing there. Close the file and open it again; the "
    "server's log says what was wrong."
)


def register(server: LanguageServer, session: Session) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        session.forget(item.uri)  # a client may open a document twice, in another language
        session.documents[item.uri] = Document(item.uri, item.version, item.language_id, item.text)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        uri, version = params.text_document.uri, params.text_document.version
        changes = [_change(change) for change in params.content_changes]
        if uri in session.out_of_step and any(change.start is None for change in changes):
            session.documents[uri] = session.out_of_step.pop(uri)
        if uri not in session.documents:
            logger.warning("A change to %s, which is not open or out of step, is ignored", uri)
            return
        try:
            session.edit(uri, changes, None if version == UNKNOWN_VERSION else version)
        except Exception:
            logger.exception("A change to %s can't be applied", uri)
            lose(server, session, uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        session.forget(params.text_document.uri)


def lose(server: LanguageServer, session: Session, uri: str | None) -> None:
    """A change of this document is lost; None: of an unknown one. The user is told once."""
    if session.lose(uri):
        server.window_show_message(types.ShowMessageParams(types.MessageType.Warning, OUT_OF_STEP))


def _change(change: types.TextDocumentContentChangeEvent) -> Change:
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        return Change(change.text)
    return Change(change.text, position_of(change.range.start), position_of(change.range.end))
