"""What to suggest at a cursor: the rest of an earlier suggestion, or a new one from the model.

Serves the features that show suggestions, and does not know how they are shown. Runs on the asyncio loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace

from dgls.code.document import Document
from dgls.code.notebook import View
from dgls.code.syntax import Syntax
from dgls.server.session import READING_SECONDS, Session
from dgls.server.settings import Settings
from dgls.suggest.cache import TypedThrough
from dgls.suggest.draft import Drafting
from dgls.suggest.exchange import another, request_of, suggestion_of
from dgls.suggest.plan import Budget, Quiet, Region, plan
from dgls.suggest.suggestion import Rejection, Suggestion
from dgls_engine.calibration import Calibration
from dgls_engine.errors import Cancelled, EngineError
from dgls_engine.profile import Profile
from dgls_engine.types import Blank, CancelToken, Infill, InfillRequest, Limits, Resume, Snippet

logger = logging.getLogger(__name__)


def eligible_document(session: Session, uri: str, invoked: bool) -> Document | None:
    """The open document at `uri`. None if it is not open, or if an automatic request comes while automatic suggestions
    are off in its language or the model is not loaded."""
    document = session.documents.get(uri)
    if document is None or invoked:
        return document
    return document if session.host.ready and session.settings.suggests_in(document.language) else None


def with_plain_breaks(text: str) -> str:
    """The text with \\n as its only line break. Clients turn \\n into their buffer's line break, but Neovim would write
    the \\r of \\r\\n into the line."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(slots=True)
class Attempt:
    """One attempt to suggest something at `offset`: a snapshot of text, cursor and settings, and the result.

    `invoked`: the user asked for it. `delay_ms`: how long to wait for a newer request before the model is asked.
    `steps` counts the denoising steps of finished infills. If nothing comes of it, `trouble` says why: the exception
    that ended it, or why the model's text was rejected; None if a newer request cancelled this one.
    """

    session: Session
    document: Document
    offset: int
    invoked: bool
    delay_ms: int = 0
    settings: Settings = field(init=False)
    view: View = field(init=False)
    steps: int = 0
    trouble: Exception | Rejection | None = None

    def __post_init__(self) -> None:
        self.settings = self.session.settings
        self.view = self.session.view(self.document)

    async def run(self, deadline_ms: int) -> list[Suggestion]:
        """One suggestion, or up to the setting `candidates` for an invoked request. Failures are logged.

        At the deadline, the model's best draft is its answer. All candidates share the deadline: the next one gets what
        is left, and none starts if less is left than a step takes.
        """
        try:
            suggestions = await self._typed_through() or await self._infilled(deadline_ms)
            return [replace(each, span=self.view.own(each.span)) for each in suggestions]
        except Cancelled:
            return []
        except Exception as error:
            logger.error("No suggestion: %s", error, exc_info=not isinstance(error, EngineError))
            self.trouble = error
            return []

    @property
    def _at(self) -> int:
        """The offset in the view."""
        return self.view.start + self.offset

    async def _typed_through(self) -> list[Suggestion]:
        earlier = self.session.memory(self.document.uri).suggested
        if earlier is None or self.invoked:
            return []
        suggestions = earlier.at(self.view.document, self._at)[:1]
        if suggestions and earlier.invoked and await self._excluded(time.monotonic() + READING_SECONDS):
            return []
        return list(suggestions)

    async def _infilled(self, deadline_ms: int) -> list[Suggestion]:
        session, document = self.session, self.view.document
        deleted = session.deleted_at(document.uri, self.offset)
        with session.in_flight(document.uri, "completion") as cancel:
            await self._pause(cancel)
            profile = (await session.host.model(cancel)).profile
            until = time.monotonic() + READING_SECONDS
            if not self.invoked and await self._excluded(until):
                return []
            syntax = session.syntax(document, self._at)
            region = self._plan(profile, syntax, deleted)
            if isinstance(region, Quiet):
                logger.debug("Quiet: %s", region)
                return []
            context = self.settings.context
            snippets = await session.snippets(document, region.above, region.below, context, profile, until)
            drafting = None if self.invoked else self._drafting(region, profile)
            request = self._request(region, snippets, drafting, deadline_ms)
            suggestions: list[Suggestion] = []
            began, most = time.monotonic(), self.settings.inline_completion.candidates if self.invoked else 1
            for seed in range(most):
                infill = await self._infill(request, cancel, drafting)
                # A model that always chooses the likeliest gives the same text with every seed.
                request = another(request, infill) if profile.continues else replace(request, seed=seed + 1)
                suggestion = self._suggestion(region, infill, profile.calibration, syntax)
                if drafting is not None:
                    drafting.end(infill, usable=suggestion is not None)
                if suggestion is not None and suggestion.new_text not in [other.new_text for other in suggestions]:
                    suggestions.append(suggestion)
                spent_ms = (time.monotonic() - began) * 1000
                left_ms = deadline_ms - spent_ms
                if left_ms < spent_ms / max(1, self.steps):
                    break
                request = replace(request, limits=Limits(deadline_ms=int(left_ms)))
        if not self.invoked:
            suggestions = self._sure(suggestions, profile.calibration)
        if suggestions:
            session.memory(document.uri).suggested = TypedThrough(document, tuple(suggestions), self.invoked)
        return suggestions

    async def _pause(self, cancel: CancelToken) -> None:
        if self.delay_ms:
            await asyncio.sleep(self.delay_ms / 1000)
            _stop_if(cancel)

    async def _excluded(self, until: float) -> bool:
        reason = await self.session.excluded(self.document.uri, until)
        if reason is not None:
            logger.debug("Quiet: in %s", reason)
        return reason is not None

    def _plan(self, profile: Profile, syntax: Syntax | None, deleted: bool) -> Region | Quiet:
        settings = self.settings.inline_completion
        budget = Budget.of(profile, settings.max_tokens, settings.max_lines)
        lines = 1 if settings.max_lines == 1 else None
        document, offset, invoked = self.view.document, self._at, self.invoked
        if not invoked and self.view.is_magic(offset):
            return Quiet.MAGIC
        return plan(document, offset, budget, syntax, invoked=invoked, deleted=deleted, max_lines=lines)

    def _drafting(self, region: Region, profile: Profile) -> Drafting:
        """The drafting of this request. If the text typed since the last draft agrees with it, the hole starts from the
        rest of that draft."""
        memory = self.session.memory(self.document.uri)
        drafting = Drafting(
            self.view.document, region, profile, memory.drafting.last if memory.drafting is not None else None
        )
        memory.drafting = drafting
        return drafting

    def _request(
        self, region: Region, snippets: tuple[Snippet, ...], drafting: Drafting | None, deadline_ms: int
    ) -> InfillRequest:
        path, limits = self.session.shown_path(self.document.uri), Limits(deadline_ms=deadline_ms)
        start = Resume(drafting.start) if drafting and drafting.start else Blank()
        shown = region.in_text(self.view.written)
        return request_of(shown, path, self.view.document.language, limits, 0, snippets, start)

    async def _infill(self, request: InfillRequest, cancel: CancelToken, drafting: Drafting | None) -> Infill:
        _stop_if(cancel)  # between two candidates a newer request may come
        note, key = drafting.note if drafting else None, (self.document.uri, "completion")
        infill = await self.session.host.infill(request, cancel, key, note, invoked=self.invoked)
        self.steps += infill.steps
        return infill

    def _suggestion(
        self, region: Region, infill: Infill, calibration: Calibration, syntax: Syntax | None
    ) -> Suggestion | None:
        """The suggestion of an infill; None if it is rejected. Doubtful lines are cut off, unless the user asked."""
        calibration = replace(calibration, keep_above=0.0) if self.invoked else calibration
        suggestion = suggestion_of(self.view.document, region, infill, calibration, syntax)
        if isinstance(suggestion, Suggestion):
            return suggestion
        logger.debug("Rejected: %s", suggestion)
        self.trouble = suggestion
        return None

    def _sure(self, suggestions: list[Suggestion], calibration: Calibration) -> list[Suggestion]:
        """The suggestions whose confidence is high enough to show them unasked."""
        least = self.settings.inline_completion.min_confidence
        least = calibration.show_above if least is None else least
        return [each for each in suggestions if each.confidence is None or each.confidence >= least]


def _stop_if(cancel: CancelToken) -> None:
    if cancel.cancelled:
        raise Cancelled("A newer request replaced this one.")
