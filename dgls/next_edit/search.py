"""Goes through the places of an edit, nearest first, and asks a model about each, until one text fits by a margin.

A generator, so that whoever drives it decides how the model is asked: it yields requests and receives their answers.
Pure.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from dgls.code.breakage import Breakage
from dgls.code.document import Span
from dgls.code.syntax import parse
from dgls.next_edit.edit import Edit
from dgls.next_edit.judgement import fill_request, score_request
from dgls.next_edit.place import Kind, Place
from dgls.next_edit.symbols import is_out_of_scope
from dgls_engine.types import Infill, InfillRequest, Score, ScoreRequest

ASKED = 3
"""Places that a model is asked about: each costs a pass or two."""

MARGINS: Mapping[Kind, float] = MappingProxyType(
    {"rename": 3.0, "mention": 6.0, "call": 0.0, "pattern": 13.0, "word": 13.0}
)
"""Nats by which the new text must surprise less than the old one. One line of a pattern is often changed alone, and
a word is often another one's namesake, or a plain word of a comment."""

REPEATED = 3.0
"""The margin of a pattern once the user has made the same change twice."""

Search = Generator[ScoreRequest | InfillRequest, Sequence[Score] | Infill, Place | None]


def search(edit: Edit, places: Sequence[Place], path: str) -> Search:
    """The first place whose new text fits. `path` is what the model is shown.

    Where the trees, or the user's second change, are sure of the whole text, it suffices that the edit made the text
    likelier. Other edits raise the odds of lines that look alike as much (docs/experiments/next-edit.md).
    """
    for place in places[:ASKED]:
        sure = not place.opened and place.kind not in ("mention", "word") and (place.kind != "pattern" or edit.repeats)
        if place.opened:
            infill = yield fill_request(edit, place, path)
            assert isinstance(infill, Infill)
            place = _filled(place, infill.texts[0].strip())
            if _is_out_of_scope(place):
                continue
        if not _sound(place):
            continue
        margin = _margin(edit, place)
        gain = yield from _gain(score_request(edit, place, path))
        if gain < margin and sure:
            gain -= yield from _gain(score_request(edit, place, path, edited=False))
        if gain >= margin:
            return place
    return None


def _gain(request: ScoreRequest) -> Generator[ScoreRequest, Sequence[Score] | Infill, float]:
    scores = yield request
    assert not isinstance(scores, Infill)
    old, new = scores
    return old.nats - new.nats


def _margin(edit: Edit, place: Place) -> float:
    return REPEATED if edit.repeats and place.kind == "pattern" else MARGINS[place.kind]


def _filled(place: Place, text: str) -> Place:
    new = place.text.replace(place.opened, text, 1) if text else place.old_text
    return replace(place, text=new, opened="")


def _is_out_of_scope(place: Place) -> bool:
    """Whether the new text has a variable of another function. Small models like to repeat the parameter's name."""
    syntax = parse(place.document.with_text(place.result), place.span.start)
    return syntax is not None and is_out_of_scope(syntax, Span(place.span.start, place.span.start + len(place.text)))


def _sound(place: Place) -> bool:
    """Whether the change changes something, stays in its line, and breaks no code that parses. A text without a grammar
    has none to break."""
    document, span = place.document, place.span
    if place.text == place.old_text or "\n" in place.text:
        return False
    syntax = parse(document, span.start)
    return syntax is None or not Breakage(document, Span(span.start, span.end), syntax).by(place.text)
