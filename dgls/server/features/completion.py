"""textDocument/completion: the suggestion at the cursor as an item of the completion menu, for editors without ghost
text.

Editors don't say whether the user opened the menu or typing did, so the item is always that of an automatic inline
completion. The menu never waits: a suggestion that is late or fails is left out.
"""

from __future__ import annotations

import asyncio

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.code.cursor import is_word
from dgls.code.document import Document, Span
from dgls.code.indentation import indentation
from dgls.server.attempt import Attempt, eligible_document, with_plain_breaks
from dgls.server.positions import position_of, range_of
from dgls.server.session import Session
from dgls.suggest.suggestion import Suggestion

_METHOD = types.TEXT_DOCUMENT_COMPLETION

MODEL_SHARE = 0.9
"""The model's share of the deadline. The rest is for the work before and after it: a late menu is of no use."""


def register(server: LanguageServer, session: Session) -> None:
    """Announces the feature only to clients that get items, so call it when the client's capabilities are known."""
    if _offered(session):
        _answer(server, session)


def register_late(server: LanguageServer, session: Session) -> None:
    """For clients that send their settings after `initialize` only, such as JupyterLab: call it when they change."""
    if not _offered(session) or _METHOD in server.protocol.fm.features:
        return
    _answer(server, session)
    if session.client.registers_completion:
        selector = types.CompletionRegistrationOptions(document_selector=None)
        registration = types.Registration("dgls.completion", _METHOD, selector)
        server.client_register_capability(types.RegistrationParams([registration]))


def _answer(server: LanguageServer, session: Session) -> None:
    @server.feature(_METHOD, types.CompletionOptions())
    async def completion(params: types.CompletionParams) -> types.CompletionList:
        uri = params.text_document.uri
        document = eligible_document(session, uri, invoked=False) if _offered(session) else None
        if document is None:
            return types.CompletionList(is_incomplete=True, items=[])
        session.supersede(uri, "completion")
        encoding = session.client.encoding
        at = document.offset(position_of(params.position), encoding)
        suggestions = await _in_time(Attempt(session, document, at, invoked=False))
        items = [_render(session, document, suggestion) for suggestion in suggestions]
        return types.CompletionList(is_incomplete=True, items=items)


def _offered(session: Session) -> bool:
    chosen = session.settings.completion
    return chosen == "on" or (chosen == "auto" and session.client.menu_only)


async def _in_time(attempt: Attempt) -> list[Suggestion]:
    deadline_ms = attempt.settings.inline_completion.deadline_ms
    try:
        async with asyncio.timeout(deadline_ms / 1000):
            return await attempt.run(int(MODEL_SHARE * deadline_ms))
    except TimeoutError:
        return []


def _render(session: Session, document: Document, suggestion: Suggestion) -> types.CompletionItem:
    """The item for `document`, the text at the time of the request: editors return to it before they apply the edit.

    Editors show an item only while its text begins with the text in its range, so the range starts at the line's
    indentation. Some look for the word at the cursor, so the label begins with that. JupyterLab replaces that word by
    `insertText`, or by the label if there is none, and ignores the edit. Line breaks are the document's own, because
    Helix does not convert them.
    """
    cursor = suggestion.span.start
    line = document.line_at(cursor)
    indent = len(indentation(document.line_text(line)))
    start = min(document.line_start(line) + indent, cursor)
    typed = document.text[start:cursor]
    text, word = typed + suggestion.new_text, typed[len(_without_word(typed)) :]
    first, *more = with_plain_breaks(word + suggestion.new_text).strip().split("\n")
    return types.CompletionItem(
        label=f"{first.rstrip()} …" if more else first,
        kind=types.CompletionItemKind.Text,
        detail="dgls",
        documentation=_plain(text) if more else None,
        filter_text=text,
        insert_text=word + suggestion.new_text,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(range_of(document, Span(start, suggestion.span.end), session.client.encoding), text),
    )


def _plain(text: str) -> types.MarkupContent:
    return types.MarkupContent(types.MarkupKind.PlainText, with_plain_breaks(text))


def _without_word(typed: str) -> str:
    while typed and is_word(typed[-1]):
        typed = typed[:-1]
    return typed
