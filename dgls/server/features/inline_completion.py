"""textDocument/inlineCompletion: a suggestion at the cursor, as the user types or on request.

A newer request for a document replaces the older one, even if the client does not cancel it. If the user typed a part
of the last suggestion, the rest is served without the engine. Errors are logged. An invoked request that comes to
nothing says why.
"""

from __future__ import annotations

import time

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.code.document import Change, Document
from dgls.server.attempt import Attempt, eligible_document, with_plain_breaks
from dgls.server.positions import position_of, range_of
from dgls.server.session import Session
from dgls.suggest.cache import rebase
from dgls.suggest.suggestion import Rejection, Suggestion

SUGGESTED = "dgls/suggested"


def register(server: LanguageServer, session: Session) -> None:
    # Without explicit options pygls does not advertise the feature.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        session.supersede(params.text_document.uri, "completion")
        began = time.monotonic()
        attempt = _attempt(session, params)
        if attempt is None:
            return types.InlineCompletionList(items=[])
        suggestions = await attempt.run(attempt.settings.inline_completion.deadline_ms)
        if attempt.invoked and not suggestions and attempt.trouble is not None:
            server.window_show_message(_told(attempt.trouble))
        selected = params.context.selected_completion_info
        rendered = (_render(session, attempt.document, each, selected) for each in suggestions)
        items = [item for item in rendered if item is not None]
        if items and not attempt.invoked and selected is None:
            session.note_shown(attempt.document, suggestions[0])
        if items and session.client.suggested:
            took = round(1000 * (time.monotonic() - began), 1)
            server.protocol.notify(SUGGESTED, _figures(suggestions[0], took, attempt.steps))
        return types.InlineCompletionList(items=items)


def _told(trouble: Exception | Rejection) -> types.ShowMessageParams:
    if isinstance(trouble, Rejection):
        reason = f"the model's text was dropped ({trouble})."
        return types.ShowMessageParams(types.MessageType.Info, f"dgls has no suggestion here: {reason}")
    return types.ShowMessageParams(types.MessageType.Error, f"dgls has no suggestion: {trouble}")


def _figures(suggestion: Suggestion, took: float, steps: int) -> dict[str, object]:
    return {
        "uri": suggestion.uri,
        "milliseconds": took,
        "steps": steps,
        **({} if suggestion.confidence is None else {"confidence": round(suggestion.confidence, 3)}),
    }


def _attempt(session: Session, params: types.InlineCompletionParams) -> Attempt | None:
    """If a completion is selected in the editor's menu, the attempt starts from the text with it accepted."""
    invoked = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
    document = eligible_document(session, params.text_document.uri, invoked)
    if document is None:
        return None
    encoding, selected = session.client.encoding, params.context.selected_completion_info
    delay_ms = 0 if invoked else session.settings.inline_completion.delay_ms
    if selected is None:
        return Attempt(session, document, document.offset(position_of(params.position), encoding), invoked, delay_ms)
    start, end = position_of(selected.range.start), position_of(selected.range.end)
    offset = document.offset(start, encoding) + len(selected.text)
    accepted = document.apply([Change(selected.text, start, end)], document.version, encoding)
    return Attempt(session, accepted, offset, invoked, delay_ms)


def _render(
    session: Session, then: Document, suggestion: Suggestion, selected: types.SelectedCompletionInfo | None
) -> types.InlineCompletionItem | None:
    """The suggestion for the current text of the document; None if it no longer fits.

    The range is empty at the cursor, because some editors hide the text inside a longer one. It is longer only where
    the suggestion replaces trailing whitespace or the editor's selected completion.
    """
    now = session.documents.get(suggestion.uri)
    if now is None:
        return None
    if selected is not None:
        fits = now.version == then.version and suggestion.span.start == suggestion.span.end
        text = selected.text + with_plain_breaks(suggestion.new_text)
        return types.InlineCompletionItem(text, range=selected.range) if fits else None
    current = suggestion if now.version == suggestion.version else rebase(suggestion, then, now)
    if current is None:
        return None
    place = range_of(now, current.span, session.client.encoding)
    return types.InlineCompletionItem(with_plain_breaks(current.new_text), range=place)
