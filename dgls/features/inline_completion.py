"""textDocument/inlineCompletion: a suggestion at the cursor, as the user types or because they asked.

A newer request for a document supersedes the older one, whether or not the client cancels it. What was typed of a
suggestion is served without the engine. Whatever fails is logged and nothing suggested; a user who asked is told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.document import Change, Document, Position
from dgls.region.cache import TypedThrough, rebase
from dgls.region.exchange import request_of, suggestion_of
from dgls.region.plan import Budget, Quiet, Region, plan
from dgls.region.suggestion import Suggestion
from dgls.session import READING_SECONDS, Session
from dgls.settings import InlineCompletionSettings
from engine.calibration import Calibration
from engine.errors import Cancelled, EngineError
from engine.profile import ModelInfo
from engine.types import CancelToken, Infill, Limits, Snippet

logger = logging.getLogger(__name__)

SUGGESTED = "dgls/suggested"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The text and the cursor at the time of the request. With a completion `selected` in the editor's menu, they
    are those that accepting it would give, and what is suggested must go on from there."""

    document: Document
    offset: int
    invoked: bool
    selected: types.SelectedCompletionInfo | None


def register(server: LanguageServer, session: Session) -> None:
    # Without explicit options pygls does not advertise the feature.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        session.supersede(params.text_document.uri, "completion")
        began = time.monotonic()
        snapshot = _snapshot(session, params)
        if snapshot is None:
            return types.InlineCompletionList(items=[])
        steps = 0
        try:
            suggestions = await _typed_through(session, snapshot)
            if not suggestions:
                suggestions, steps = await _infilled(session, snapshot)
        except Cancelled:  # a newer request took this one's place
            suggestions = ()
        except Exception as error:
            suggestions = ()
            logger.error("No inline completion: %s", error, exc_info=not isinstance(error, EngineError))
            if snapshot.invoked:
                message = f"dgls has no suggestion: {error}"
                server.window_show_message(types.ShowMessageParams(types.MessageType.Error, message))
        items = [item for found in suggestions if (item := _render(session, snapshot, found)) is not None]
        if items and session.client.suggested:
            took = round(1000 * (time.monotonic() - began), 1)
            server.protocol.notify(SUGGESTED, _told(suggestions[0], took, steps))
        return types.InlineCompletionList(items=items)


def _told(suggestion: Suggestion, took: float, steps: int) -> dict[str, object]:
    return {
        "uri": suggestion.uri,
        "milliseconds": took,
        "steps": steps,
        "confidence": round(suggestion.confidence, 3),
    }


def _snapshot(session: Session, params: types.InlineCompletionParams) -> Snapshot | None:
    """None where there is nothing to do: no such document, or unasked when off or not ready."""
    invoked = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
    document = session.documents.get(params.text_document.uri)
    if document is None or not (invoked or (session.ready and session.settings.inline_completion.enabled)):
        return None
    encoding, selected = session.client.encoding, params.context.selected_completion_info
    if selected is None:
        return Snapshot(document, document.offset(_position(params.position), encoding), invoked, None)
    start, end = _position(selected.range.start), _position(selected.range.end)
    offset = document.offset(start, encoding) + len(selected.text)
    accepted = document.apply([Change(selected.text, start, end)], document.version, encoding)
    return Snapshot(accepted, offset, invoked, selected)


async def _typed_through(session: Session, snapshot: Snapshot) -> tuple[Suggestion, ...]:
    kept = session.suggested.get(snapshot.document.uri)
    if kept is None or snapshot.invoked:
        return ()
    found = kept.at(snapshot.document, snapshot.offset)[:1]
    until = time.monotonic() + READING_SECONDS
    if found and kept.invoked and await session.excluded(snapshot.document.uri, until) is not None:
        return ()
    return found


async def _infilled(session: Session, snapshot: Snapshot) -> tuple[tuple[Suggestion, ...], int]:
    """One suggestion for an automatic request, up to as many as the settings say for an invoked one; and how many
    denoising steps all of them took."""
    document, settings = snapshot.document, session.settings.inline_completion
    deleted = session.deleted_at(document.uri, snapshot.offset)
    with session.in_flight(document.uri, "completion") as cancel:
        info = await session.model(cancel)
        until = time.monotonic() + READING_SECONDS
        if not snapshot.invoked and (why := await session.excluded(document.uri, until)) is not None:
            logger.debug("Quiet: in %s", why)
            return (), 0
        region = _plan(session, snapshot, settings, info, deleted)
        if isinstance(region, Quiet):
            logger.debug("Quiet: %s", region)
            return (), 0
        snippets = await session.snippets(document, region.above, region.below, info.profile, until)
        found: list[Suggestion] = []
        steps = 0
        for seed in range(settings.candidates if snapshot.invoked else 1):
            infill = await _infill(session, snapshot, region, snippets, seed, cancel)
            steps += infill.steps
            suggestion = _suggestion(session, snapshot, region, infill, info.profile.calibration)
            if suggestion is not None and suggestion.new_text not in [other.new_text for other in found]:
                found.append(suggestion)
    if not snapshot.invoked:
        least = settings.min_confidence
        least = info.profile.calibration.show_above if least is None else least
        found = [suggestion for suggestion in found if suggestion.confidence >= least]
    if found:
        session.suggested[document.uri] = TypedThrough(document, tuple(found), snapshot.invoked)
    return tuple(found), steps


def _plan(
    session: Session, snapshot: Snapshot, settings: InlineCompletionSettings, info: ModelInfo, deleted: bool
) -> Region | Quiet:
    budget = Budget.of(info.profile, settings.max_tokens, settings.max_lines)
    lines = 1 if settings.max_lines == 1 else None
    syntax = session.syntax(snapshot.document, snapshot.offset)
    document, offset, invoked = snapshot.document, snapshot.offset, snapshot.invoked
    return plan(document, offset, budget, syntax, invoked=invoked, deleted=deleted, max_lines=lines)


async def _infill(
    session: Session,
    snapshot: Snapshot,
    region: Region,
    snippets: tuple[Snippet, ...],
    seed: int,
    cancel: CancelToken,
) -> Infill:
    if cancel.cancelled:  # superseded between two candidates: the worker's slot is the newer request's
        raise Cancelled("A newer request took this one's place.")
    document = snapshot.document
    request = request_of(
        region,
        session.client.shown_path(document.uri),
        document.language,
        Limits(deadline_ms=session.settings.inline_completion.deadline_ms),
        seed,
        snippets=snippets,
    )
    key = (document.uri, "completion")
    return await asyncio.wrap_future(session.worker.submit(request, cancel, key))


def _suggestion(
    session: Session, snapshot: Snapshot, region: Region, infill: Infill, calibration: Calibration
) -> Suggestion | None:
    """Who asked sees the doubtful lines, too."""
    document = snapshot.document
    syntax = session.syntax(document, region.span.start)
    calibration = replace(calibration, keep_above=0.0) if snapshot.invoked else calibration
    found = suggestion_of(document, region, infill, calibration, syntax)
    if isinstance(found, Suggestion):
        return found
    logger.debug("Rejected: %s", found)
    return None


def _render(session: Session, snapshot: Snapshot, suggestion: Suggestion) -> types.InlineCompletionItem | None:
    """The suggestion as it stands in the text that the editor has now; None where it no longer fits.

    The range is empty at the cursor (a longer one hides the text right of it in some editors), save where it takes
    trailing whitespace or the editor's own selected completion in.
    """
    now = session.documents.get(suggestion.uri)
    if now is None:
        return None
    if snapshot.selected is not None:
        fits = now.version == snapshot.document.version and suggestion.span.start == suggestion.span.end
        text = snapshot.selected.text + _with_plain_breaks(suggestion.new_text)
        return types.InlineCompletionItem(text, range=snapshot.selected.range) if fits else None
    current = suggestion if now.version == suggestion.version else rebase(suggestion, snapshot.document, now)
    if current is None:
        return None
    start = now.position(current.span.start, session.client.encoding)
    end = now.position(current.span.end, session.client.encoding)
    span = types.Range(types.Position(start.line, start.character), types.Position(end.line, end.character))
    return types.InlineCompletionItem(_with_plain_breaks(current.new_text), range=span)


def _with_plain_breaks(text: str) -> str:
    """Every client turns \\n into its buffer's line break; Neovim would write the \\r of \\r\\n into the line."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _position(position: types.Position) -> Position:
    return Position(position.line, position.character)
