"""From a region to the request for the engine, and from its infill to a suggestion.

The server, the command line and the evaluation share it. Pure; runs on any thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Protocol

from dgls.code.document import Document
from dgls.code.syntax import Syntax
from dgls.suggest.plan import Region
from dgls.suggest.suggestion import Rejection, Suggestion, suggest
from dgls_engine.calibration import Calibration
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import (
    Blank,
    CancelToken,
    Context,
    Hole,
    Infill,
    InfillRequest,
    Limits,
    Piece,
    Pinned,
    Snippet,
    Start,
    Step,
    Timings,
)


def request_of(
    region: Region,
    path: str,
    language: str,
    limits: Limits,
    seed: int,
    snippets: tuple[Snippet, ...] = (),
    start: Start = Blank(),  # noqa: B008 (frozen)
) -> InfillRequest:
    """The model sees `path` and `snippets` as they are. `start` is the content of the hole before the first step."""
    return InfillRequest(
        Context(path, language, region.above, region.below, snippets),
        [
            Pinned(region.before + region.lead),
            Hole(
                max_tokens=region.max_tokens,
                stop=region.stop,
                start=start,
                indent=region.least_indent,
                avoid=region.avoid,
                begins=region.begins,
            ),
            Pinned(region.after),
        ],
        limits,
        seed,
    )


def another(request: InfillRequest, infill: Infill) -> InfillRequest:
    """The request for a fill that begins differently than `infill`, for models that always choose the likeliest."""
    pieces = (piece.text.strip() for piece in infill.fills[0].pieces)
    beginning = next((text for text in pieces if text), "")
    segments = [
        replace(segment, avoid=(*segment.avoid, beginning), start=Blank()) if isinstance(segment, Hole) else segment
        for segment in request.segments
    ]
    return replace(request, segments=segments)


Judged = Suggestion | Rejection


class Infiller(Protocol):
    """The interface of a model that fills: `dgls_engine.Engine`, or another class with these members."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def profile(self) -> Profile: ...
    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]: ...


def asked(
    model: Infiller, request: InfillRequest, judge: Callable[[Infill], Judged], once: bool = False
) -> tuple[Judged, Infill, Infill]:
    """Fill a request that the user made: the result of `judge`, its infill, and the first infill.

    A model that always chooses the likeliest gets a second try if its fill is rejected, unless `once`. The steps and
    times of an infill include those of the infill before.
    """
    first = _last(model.infill(request))
    judged = judge(first)
    if isinstance(judged, Suggestion) or once or not model.profile.continues:
        return judged, first, first
    second = _last(model.infill(another(request, first)))
    again = judge(second)
    if isinstance(again, Rejection):
        return judged, first, first
    spent, more = first.timings, second.timings
    timings = Timings(spent.prefill_ms + more.prefill_ms, spent.denoise_ms + more.denoise_ms)
    return again, replace(second, steps=first.steps + second.steps, timings=timings), first


def _last(events: Iterator[Step | Infill]) -> Infill:
    *_, infill = events
    assert isinstance(infill, Infill)
    return infill


def suggestion_of(
    document: Document, region: Region, infill: Infill, calibration: Calibration, syntax: Syntax | None = None
) -> Suggestion | Rejection:
    """The lines that the model was sure of, as a suggestion, with the calibrated confidence in these lines."""
    fill = infill.fills[0]
    kept = sure_part(fill.pieces, calibration.keep_above) if fill.pieces else fill.text
    confidence, probability = fill.confidence, fill.probability
    if kept != fill.text:
        probability = probability_of(fill.pieces, len(kept))
        confidence = calibration.confidence(probability)
    judged = suggest(document, region, region.lead + kept, confidence, syntax)
    return replace(judged, probability=probability) if isinstance(judged, Suggestion) else judged


def filled(document: Document, region: Region, text: str) -> str:
    """The whole document with `text` in the region's hole."""
    return document.text[: region.span.start] + text + document.text[region.span.end :]


def sure_part(pieces: Sequence[Piece], keep_above: float) -> str:
    """The fill's text before the first doubted line; all of it if no line is doubted.

    A line is doubted if one of its tokens is less probable than `keep_above`. A token belongs to every line that it has
    code on; a token of whitespace belongs to the line that it leads to. The first line of code is always kept: whether
    it is shown depends on the suggestion's confidence.
    """
    text = "".join(piece.text for piece in pieces)
    first_end = text.find("\n", len(text) - len(text.lstrip()))
    if first_end == -1:
        return text
    start = 0
    for piece in pieces:
        end = start + len(piece.text)
        if piece.probability < keep_above:
            places = [at for at in range(start, end) if not text[at].isspace()] or [end]
            line_starts = (text.rfind("\n", 0, at) for at in places)
            cut = next((at for at in line_starts if at >= first_end), None)
            if cut is not None:
                return text[:cut]
        start = end
    return text


def probability_of(pieces: Sequence[Piece], length: int) -> float:
    """The probability of a fill's first `length` characters: the product of their tokens' probabilities."""
    starts = accumulate((len(piece.text) for piece in pieces), initial=0)
    return math.prod(piece.probability for piece, start in zip(pieces, starts, strict=False) if start < length)
