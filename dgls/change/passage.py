"""A passage: the gaps that one canvas fills and the pinned text around them. And the other types that actions share.

    above | before |gap| between |gap| after | below        above and below: the prompt; the rest: the canvas

Pure values; any thread may use them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dgls.code.document import Document, Span
from dgls.code.window import CountTokens, estimate_tokens
from dgls_engine.profile import Profile
from dgls_engine.types import Context, Hole, Infill, InfillRequest, Limits, Pinned, Segment, Snippet

LONGEST_TOKEN = 16
"""Most characters a token of code has, averaged over a canvas. Text beyond that is not even counted."""
_CANDIDATES = 1000
"""Candidates of one request have consecutive seeds, so the seeds of further attempts must lie farther apart."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in the passage's document: the fill of `hole` replaces the text in `span`.

    `origin` is the same place in the task's document, before any passage. There, `lead`, the fill and `tail` replace
    the text; the passage's document already contains `lead` and `tail`.
    """

    span: Span
    hole: Hole
    origin: Span
    lead: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """Gaps that are filled together: disjoint, in text order, inside `canvas`, the part of the text in the canvas.

    `document` already contains the fills of earlier passages. The model sees `current` as the text that the gaps
    replace ("" to hide it), and `instruction`. A further `attempt` at the same gaps has another seed.
    """

    document: Document
    canvas: Span
    gaps: tuple[Gap, ...]
    current: str = ""
    instruction: str = ""
    attempt: int = 0

    def __post_init__(self) -> None:
        borders = [self.canvas.start]
        for gap in self.gaps:
            borders += [gap.span.start, gap.span.end]
        borders.append(self.canvas.end)
        assert all(left <= right for left, right in pairwise(borders)), f"borders out of order: {borders}"

    def request(self, path: str, limits: Limits, seed: int, snippets: tuple[Snippet, ...] = ()) -> InfillRequest:
        """The engine's request for this passage. The model sees `path` and `snippets` unchanged."""
        text, at = self.document.text, self.canvas.start
        segments: list[Segment] = []
        for gap in self.gaps:
            segments += [Pinned(text[at : gap.span.start]), gap.hole]
            at = gap.span.end
        segments.append(Pinned(text[at : self.canvas.end]))
        above, below = text[: self.canvas.start], text[self.canvas.end :]
        context = Context(path, self.document.language, above, below, snippets, self.current, self.instruction)
        return InfillRequest(context, segments, limits, seed + self.attempt * _CANDIDATES)


@dataclass(frozen=True, slots=True)
class Replacement:
    """`text` replaces the text in `span` of the task's document."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job: disjoint replacements in `document`, the task's document, in text order.

    Without replacements nothing changes. `confidence` (0 to 1) that all fills are right is the product of theirs; None
    if nothing was filled or the model is not calibrated.
    """

    document: Document
    replacements: tuple[Replacement, ...]
    confidence: float | None


def confidence_of(confidences: Sequence[float | None]) -> float | None:
    """The confidence that all fills are right: the product. None if one is unknown, or there are none."""
    known = [confidence for confidence in confidences if confidence is not None]
    return math.prod(known) if confidences and len(known) == len(confidences) else None


Job = Generator[Passage, Infill, Outcome]
"""A running action: it yields passages, receives their infills, and returns the outcome."""


def carry_out(job: Job, infill: Callable[[Passage], Infill]) -> Outcome:
    """Run a job to its end, blocking."""
    passage = next(job)
    while True:
        try:
            passage = job.send(infill(passage))
        except StopIteration as over:
            outcome: Outcome = over.value
            return outcome


@dataclass(frozen=True, slots=True)
class Room:
    """The room in a canvas, in tokens as `count` counts them, and whether the model takes `instructions`.

    `hole_tokens` are for the holes of a canvas and the code between them; `before_tokens` and `after_tokens` for the
    pinned code around. The pinned code shrinks if the holes need more; `canvas_tokens` is the sum that must fit.
    `continues`: the model writes on after a hole.
    """

    canvas_tokens: int
    before_tokens: int
    after_tokens: int
    hole_tokens: int
    instructions: bool
    count: CountTokens = estimate_tokens
    continues: bool = False

    @classmethod
    def of(cls, profile: Profile, count: CountTokens = estimate_tokens) -> Room:
        return cls(
            profile.canvas_tokens - 1,  # one token may close the canvas
            profile.before_tokens,
            profile.after_tokens,
            profile.hole_tokens,
            profile.takes_instructions,
            count,
            profile.continues,
        )


def applied(document: Document, replacements: Iterable[Replacement]) -> Document:
    """The document with the replacements made; its version stays."""
    parts, at = [], 0
    for each in replacements:
        assert at <= each.span.start, "replacements overlap"
        parts += [document.text[at : each.span.start], each.text]
        at = each.span.end
    return Document(document.uri, document.version, document.language, "".join([*parts, document.text[at:]]))


def moved(span: Span, replacements: Iterable[Replacement]) -> Span:
    """`span`, which no replacement touches, shifted by the replacements before it."""
    by = sum(len(each.text) - each.span.length for each in replacements if each.span.end <= span.start)
    return replace(span, start=span.start + by, end=span.end + by)
