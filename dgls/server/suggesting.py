"""What may be suggested at a cursor: served from what was suggested before, or planned, filled and judged anew.

For the features that show suggestions, each in its own way; knows nothing of how. Above the session, below the
features; runs on the asyncio loop.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

from dgls.code.document import Document
from dgls.server.session import READING_SECONDS, Session
from dgls.server.settings import InlineCompletionSettings
from dgls.suggest.cache import TypedThrough
from dgls.suggest.draft import Drafting
from dgls.suggest.exchange import request_of, suggestion_of
from dgls.suggest.plan import Budget, Quiet, Region, plan
from dgls.suggest.suggestion import Suggestion
from dgls_engine.calibration import Calibration
from dgls_engine.errors import Cancelled, EngineError
from dgls_engine.profile import ModelInfo
from dgls_engine.types import Blank, CancelToken, Infill, Limits, Resume, Snippet

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The text and the cursor at the time of the request; `invoked`: the user asked."""

    document: Document
    offset: int
    invoked: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it, the denoising steps that all of it took, and what went wrong, if anything did."""

    suggestions: tuple[Suggestion, ...] = ()
    steps: int = 0
    error: Exception | None = None


def due(session: Session, uri: str, invoked: bool) -> Document | None:
    """The document; None where there is nothing to do: it is not open, or nobody asked and we are off or not ready."""
    if invoked or (session.host.ready and session.settings.inline_completion.enabled):
        return session.documents.get(uri)
    return None


async def find(session: Session, snapshot: Snapshot, deadline_ms: int) -> Found:
    """Up to as many suggestions as the settings say where the user asked, else one. The model's best draft counts when
    the deadline strikes. A failure is logged; that a newer request took the place of this one is none."""
    try:
        suggestions = await _typed_through(session, snapshot)
        return Found(suggestions) if suggestions else await _infilled(session, snapshot, deadline_ms)
    except Cancelled:
        return Found()
    except Exception as error:
        logger.error("No suggestion: %s", error, exc_info=not isinstance(error, EngineError))
        return Found(error=error)


def with_plain_breaks(text: str) -> str:
    """Every client turns \\n into its buffer's line break; Neovim would write the \\r of \\r\\n into the line."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


async def _typed_through(session: Session, snapshot: Snapshot) -> tuple[Suggestion, ...]:
    kept = session.suggested.get(snapshot.document.uri)
    if kept is None or snapshot.invoked:
        return ()
    found = kept.at(snapshot.document, snapshot.offset)[:1]
    until = time.monotonic() + READING_SECONDS
    if found and kept.invoked and await session.excluded(snapshot.document.uri, until) is not None:
        return ()
    return found


async def _infilled(session: Session, snapshot: Snapshot, deadline_ms: int) -> Found:
    document, settings = snapshot.document, session.settings.inline_completion
    deleted = session.deleted_at(document.uri, snapshot.offset)
    with session.in_flight(document.uri, "completion") as cancel:
        info = await session.host.model(cancel)
        until = time.monotonic() + READING_SECONDS
        if not snapshot.invoked and (why := await session.excluded(document.uri, until)) is not None:
            logger.debug("Quiet: in %s", why)
            return Found()
        region = _plan(session, snapshot, settings, info, deleted)
        if isinstance(region, Quiet):
            logger.debug("Quiet: %s", region)
            return Found()
        snippets = await session.snippets(document, region.above, region.below, info.profile, until)
        drafting = None if snapshot.invoked else _drafting(session, document, region, info)
        found: list[Suggestion] = []
        steps = 0
        for seed in range(settings.candidates if snapshot.invoked else 1):
            limits = Limits(deadline_ms=deadline_ms)
            infill = await _infill(session, snapshot, region, snippets, seed, limits, cancel, drafting)
            steps += infill.steps
            suggestion = _suggestion(session, snapshot, region, infill, info.profile.calibration)
            if drafting is not None:
                drafting.end(infill, usable=suggestion is not None)
            if suggestion is not None and suggestion.new_text not in [other.new_text for other in found]:
                found.append(suggestion)
    if not snapshot.invoked:
        least = settings.min_confidence
        least = info.profile.calibration.show_above if least is None else least
        found = [suggestion for suggestion in found if suggestion.confidence is None or suggestion.confidence >= least]
    if found:
        session.suggested[document.uri] = TypedThrough(document, tuple(found), snapshot.invoked)
    return Found(tuple(found), steps)


def _plan(
    session: Session, snapshot: Snapshot, settings: InlineCompletionSettings, info: ModelInfo, deleted: bool
) -> Region | Quiet:
    budget = Budget.of(info.profile, settings.max_tokens, settings.max_lines)
    lines = 1 if settings.max_lines == 1 else None
    syntax = session.syntax(snapshot.document, snapshot.offset)
    document, offset, invoked = snapshot.document, snapshot.offset, snapshot.invoked
    return plan(document, offset, budget, syntax, invoked=invoked, deleted=deleted, max_lines=lines)


def _drafting(session: Session, document: Document, region: Region, info: ModelInfo) -> Drafting:
    older = session.drafting.get(document.uri)
    drafting = Drafting(document, region, info.profile, older.last if older is not None else None)
    session.drafting[document.uri] = drafting
    return drafting


async def _infill(
    session: Session,
    snapshot: Snapshot,
    region: Region,
    snippets: tuple[Snippet, ...],
    seed: int,
    limits: Limits,
    cancel: CancelToken,
    drafting: Drafting | None,
) -> Infill:
    """What was made of the hole `drafting` a keystroke ago is gone on from; who asked wants to see something new."""
    if cancel.cancelled:  # superseded between two candidates: the worker's slot is the newer request's
        raise Cancelled("A newer request took this one's place.")
    document = snapshot.document
    path = session.client.shown_path(document.uri)
    rest, note = (None, None) if drafting is None else (drafting.start, drafting.note)
    start = Resume(rest) if rest else Blank()
    request = request_of(region, path, document.language, limits, seed, snippets, start)
    key = (document.uri, "completion")
    return await session.host.infill(request, cancel, key, note, asked=snapshot.invoked)


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
