"""Applies a client's edits to a document of the session, or takes the document for closed if one of them is lost.

Shared by the features that keep text documents and notebooks. Runs on the asyncio loop.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

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


def open_document(session: Session, item: types.TextDocumentItem) -> None:
    session.forget(item.uri)  # a client may open a document twice, in another language
    session.documents[item.uri] = Document(item.uri, item.version, item.language_id, item.text)


def edit(
    server: LanguageServer,
    session: Session,
    document: types.VersionedTextDocumentIdentifier,
    events: Sequence[types.TextDocumentContentChangeEvent],
) -> None:
    uri, version = document.uri, document.version
    changes = [_change(event) for event in events]
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


def lose(server: LanguageServer, session: Session, uri: str | None) -> None:
    """A change of this document or notebook is lost; None: of an unknown one. The user is told once."""
    if session.lose(uri):
        server.window_show_message(types.ShowMessageParams(types.MessageType.Warning, OUT_OF_STEP))


def _change(change: types.TextDocumentContentChangeEvent) -> Change:
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        return Change(change.text)
    return Change(change.text, position_of(change.range.start), position_of(change.range.end))
