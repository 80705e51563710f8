"""What one canvas is asked to fill: gaps in a document's text, and the text around them that is pinned.

    above | before |gap| between |gap| after | below        above and below: the prompt; the rest: the canvas

Pure; the types that all actions share.
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
"""Characters of code that a token has at most, in the mean of a canvas: more text is not even counted."""
_CANDIDATES = 1000
"""More than anybody asks for at once: their seeds follow one another, so an attempt's must be farther apart."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in a document: what `span` holds is replaced by what `hole` is filled with.

    `origin` is the same place in the document that the task is about, which earlier passages have not touched; what
    stands there in the end is `lead`, the fill and `tail`. They are in the passage's document already.
    """

    span: Span
    hole: Hole
    origin: Span
    lead: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """Gaps that are filled together: disjoint, in text order, inside `canvas`, the part of the text in the canvas.

    In `document` the fills of earlier passages stand already. `current` is shown to the model as what the gaps are to
    replace (empty: it is not to be seen), `instruction` as what is wanted of it. A further `attempt` at the same gaps
    is made with another seed.
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
        assert all(left <= right for left, right in pairwise(borders)), f"no order in {borders}"

    def request(self, path: str, limits: Limits, seed: int, snippets: tuple[Snippet, ...] = ()) -> InfillRequest:
        """`path` and `snippets` are shown to the model as they are."""
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
    """`text` in place of what `span` holds in the document that the task is about."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of `document`, the one that the task is about: replacements in text order, disjoint.

    Empty when nothing would change. `confidence` (0 to 1) is that all
    fills are right: the product of theirs, None where nothing was filled or the model is not calibrated.
    """

    document: Document
    replacements: tuple[Replacement, ...]
    confidence: float | None


def confidence_of(confidences: Sequence[float | None]) -> float | None:
    """That all fills are right, if each confidence says so of one. None where one is unknown, or there are none."""
    known = [confidence for confidence in confidences if confidence is not None]
    return math.prod(known) if confidences and len(known) == len(confidences) else None


Job = Generator[Passage, Infill, Outcome]
"""An action under way: it yields a passage, wants its infill sent back, and returns the outcome."""


def carry_out(job: Job, infill: Callable[[Passage], Infill]) -> Outcome:
    """Run a job to its end where waiting is no matter."""
    passage = next(job)
    while True:
        try:
            passage = job.send(infill(passage))
        except StopIteration as over:
            outcome: Outcome = over.value
            return outcome


@dataclass(frozen=True, slots=True)
class Room:
    """What a canvas has room for, in tokens as `count` counts them; and whether the model takes instructions.

    `hole_tokens` are for the holes of a canvas and the code between them, with `before_tokens` and `after_tokens` of
    pinned code around; these give way where holes need more, up to `canvas_tokens` in all.
    """

    canvas_tokens: int
    before_tokens: int
    after_tokens: int
    hole_tokens: int
    instructions: bool
    count: CountTokens = estimate_tokens

    @classmethod
    def of(cls, profile: Profile, count: CountTokens = estimate_tokens) -> Room:
        return cls(
            profile.canvas_tokens - 1,  # one token may close the canvas
            profile.before_tokens,
            profile.after_tokens,
            profile.hole_tokens,
            profile.takes_instructions,
            count,
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
    """Where a span of the document, which no replacement touches, is once those before it are made."""
    by = sum(len(each.text) - each.span.length for each in replacements if each.span.end <= span.start)
    return replace(span, start=span.start + by, end=span.end + by)
