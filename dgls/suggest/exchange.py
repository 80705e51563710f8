"""A region to the engine and back: what is asked of it, and what becomes of its answer.

Written once for all who fill a region: the server, the command line, the evaluation. Pure; runs on any thread.
"""

from __future__ import annotations

from dataclasses import replace

from dgls.code.document import Document
from dgls.code.syntax import Syntax
from dgls.suggest.certainty import probability_of, sure_part
from dgls.suggest.plan import Region
from dgls.suggest.suggestion import Rejection, Suggestion, suggest
from dgls_engine.calibration import Calibration
from dgls_engine.types import Blank, Context, Hole, Infill, InfillRequest, Limits, Pinned, Snippet, Start


def request_of(
    region: Region,
    path: str,
    language: str,
    limits: Limits,
    seed: int,
    snippets: tuple[Snippet, ...] = (),
    start: Start = Blank(),  # noqa: B008 (frozen)
) -> InfillRequest:
    """`path` and `snippets` are shown to the model as they are. `start` is what stands in the hole before the first
    step."""
    return InfillRequest(
        Context(path, language, region.above, region.below, snippets),
        [
            Pinned(region.before),
            Hole(max_tokens=region.max_tokens, stop=region.stop, start=start),
            Pinned(region.after),
        ],
        limits,
        seed,
    )


def suggestion_of(
    document: Document, region: Region, infill: Infill, calibration: Calibration, syntax: Syntax | None = None
) -> Suggestion | Rejection:
    """The lines that the model was sure of, made fit to show, with the calibrated confidence in just these."""
    fill = infill.fills[0]
    kept, confidence = sure_part(fill.pieces, calibration.keep_above) if fill.pieces else fill.text, fill.confidence
    if kept != fill.text:
        confidence = calibration.confidence(probability_of(fill.pieces, len(kept)))
    found = suggest(document, region, kept, syntax=syntax)
    if isinstance(found, Rejection):
        return found
    return replace(found, confidence=confidence)


def filled(document: Document, region: Region, text: str) -> str:
    """The whole document with `text` in the region's hole."""
    return document.text[: region.span.start] + text + document.text[region.span.end :]
