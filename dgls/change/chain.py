"""Rewrite parts of a document in as few canvases as they fit into, one canvas after the other.

Each canvas sees the finished parts before it, pinned before the hole and in the prompt. Knows texts, offsets and token
counts; an action's `RewriteRules` says what to ask of the model and how to adapt its answers. Pure; runs on any thread.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dgls.change.passage import (
    LONGEST_TOKEN,
    Gap,
    Job,
    Outcome,
    Passage,
    Replacement,
    Room,
    applied,
    confidence_of,
    moved,
)
from dgls.change.selection import trimmed
from dgls.code.document import Document, Span
from dgls.code.languages import language_of
from dgls.code.window import after_end, before_start, border_among
from dgls_engine.types import Hole


@dataclass(frozen=True, slots=True)
class RewriteRules:
    """What an action does with each part.

    `hole` makes the hole for a text; its `max_tokens` are the room that it takes in the canvas. If it `grows`, it also
    takes the room that is left. `fit` adapts an infill to its gap, or returns the old text if it cannot. `pins_rest`:
    later parts are pinned after the hole, unchanged. `shows`: the old text stands in the prompt.
    """

    hole: Callable[[str], Hole]
    fit: Callable[[Passage, Gap, str], str]
    pins_rest: bool
    shows: bool
    grows: bool = False
    instruction: str = ""


def rewrite_parts(document: Document, parts: Sequence[Span], room: Room, rules: RewriteRules) -> Job:
    """Rewrite each of `parts` once, in text order."""
    groups = canvases(document, parts, room, lambda text: rules.hole(text).max_tokens)
    made: list[Replacement] = []
    confidences: list[float | None] = []
    for number, pieces in enumerate(groups):
        following = groups[number + 1][0] if number + 1 < len(groups) and not rules.pins_rest else None
        passage = _passage(applied(document, made), pieces, following, made, room, rules)
        infill = yield passage
        for gap, fill in zip(passage.gaps, infill.fills, strict=True):
            confidences.append(fill.confidence)
            new = rules.fit(passage, gap, fill.text)
            if new != document.text[gap.origin.start : gap.origin.end]:
                made.append(Replacement(gap.origin, new))
    return Outcome(document, tuple(made), confidence_of(confidences))


def canvases(
    document: Document, parts: Sequence[Span], room: Room, size: Callable[[str], int]
) -> list[tuple[Span, ...]]:
    """The parts that each canvas fills. A part too long for one is cut between statements. `size`: a hole's tokens."""
    text, most = document.text, _most(room)
    full: list[tuple[Span, ...]] = []
    current: list[Span] = []
    used = 0
    rest = list(reversed(parts))
    while rest:
        part = rest.pop()
        start = current[-1].end if current else part.start
        if part.end - start <= most * LONGEST_TOKEN and used + (tokens := _size(text, start, part, room, size)) <= most:
            current.append(part)
            used += tokens
        elif current:
            full.append(tuple(current))
            rest.append(part)
            current, used = [], 0
        else:
            head, tail = _cut(document, part, most, size)
            full.append((head,))
            rest += [tail] if tail is not None else []
    return [*full, tuple(current)] if current else full


def _size(text: str, start: int, part: Span, room: Room, size: Callable[[str], int]) -> int:
    """Tokens of a part and of the text between `start` and it."""
    return room.count(text[start : part.start]) + size(text[part.start : part.end])


def _most(room: Room) -> int:
    """Tokens for holes and the text between them. Before a part is cut, half of the code around gives way."""
    return max(room.hole_tokens, room.canvas_tokens - (room.before_tokens + room.after_tokens) // 2)


def _cut(document: Document, part: Span, most: int, size: Callable[[str], int]) -> tuple[Span, Span | None]:
    """The first piece of a part that is too long, and the rest.

    Pieces have about equal length: a last one of a few tokens would lack context. The rest starts with its indentation,
    because its depth depends on what the first piece becomes.
    """
    text = document.text
    reach = min(part.end, part.start + most * LONGEST_TOKEN)
    lines = range(document.line_at(part.start) + 1, document.line_at(reach) + 1)

    def until(line: int) -> int:
        return size(text[part.start : document.line_start(line)])

    fitting = lines[: bisect_right(lines, most, key=until)]
    if not fitting:
        return _cut_line(document, part, most, size)
    tokens = size(text[part.start : reach]) * (part.end - part.start) // (reach - part.start)
    share = tokens // max(2, -(-tokens // most))
    near = fitting[bisect_right(fitting, share * 3 // 5, key=until) :] or fitting[-1:]
    border = border_among(document, near, language_of(document.language, document.uri))
    at = border if border is not None else document.line_start(near[-1])
    head, tail = trimmed(document, Span(part.start, at)), trimmed(document, Span(at, part.end))
    assert head is not None, "a part starts with a line of code"
    assert tail is not None, "and ends with one"
    return Span(part.start, head.end), Span(document.line_start(document.line_at(tail.start)), part.end)


def _cut_line(document: Document, part: Span, most: int, size: Callable[[str], int]) -> tuple[Span, Span | None]:
    """Cut inside a line that is too long by itself, between words if there are any."""
    text = document.text
    line_end = document.line_end(document.line_at(part.start))
    lengths = range(1, min(line_end - part.start, most * LONGEST_TOKEN) + 1)
    length = max(1, bisect_right(lengths, most, key=lambda length: size(text[part.start : part.start + length])))
    words = list(re.finditer(r"\W", text[part.start : part.start + length]))
    if words and words[-1].end() * 2 > length:
        length = words[-1].end()
    at = min(part.end, part.start + length)
    return Span(part.start, at), trimmed(document, Span(at, part.end))


def _passage(
    document: Document,
    pieces: Sequence[Span],
    following: Span | None,
    made: Sequence[Replacement],
    room: Room,
    rules: RewriteRules,
) -> Passage:
    """`document` already contains the replacements `made`."""
    text = document.text
    spans = [moved(piece, made) for piece in pieces]
    start, end = spans[0].start, spans[-1].end
    old = [text[span.start : span.end] for span in spans]
    holes = [rules.hole(each) for each in old]
    between = sum(room.count(text[left.end : right.start]) for left, right in pairwise(spans))
    used = between + sum(hole.max_tokens for hole in holes)
    if rules.grows and used < room.hole_tokens:
        more = (room.hole_tokens - used) // len(holes)
        holes = [replace(hole, max_tokens=hole.max_tokens + more) for hole in holes]
        used += more * len(holes)
    before, after = _around(room, used)
    canvas_end = _end_of_after(document, end, after, room)
    if following is not None:
        canvas_end = min(canvas_end, _next_hole(document, end, moved(following, made)))
    return Passage(
        document,
        Span(_start_of_before(document, start, before, room), canvas_end),
        tuple(Gap(span, hole, origin) for span, hole, origin in zip(spans, holes, pieces, strict=True)),
        text[start:end] if rules.shows else "",
        rules.instruction,
    )


def _around(room: Room, used: int) -> tuple[int, int]:
    """Tokens for the code before and after the holes."""
    left, wanted = max(0, room.canvas_tokens - used), room.before_tokens + room.after_tokens
    if left >= wanted:
        return room.before_tokens, room.after_tokens
    before = left * room.before_tokens // wanted
    return before, left - before


def _start_of_before(document: Document, start: int, tokens: int, room: Room) -> int:
    """As many whole lines as fit. Nobody types here, so this border may move, unlike that of a suggestion."""
    first = document.line_at(start)
    lines = range(max(0, first - tokens, document.lines_from(start - tokens * LONGEST_TOKEN)), first + 1)
    fits = bisect_left(lines, -tokens, key=lambda line: -room.count(document.text[document.line_start(line) : start]))
    if fits < len(lines):
        return document.line_start(lines[fits])
    return before_start(document, start, language_of(document.language, document.uri), tokens, room.count)


def _end_of_after(document: Document, end: int, tokens: int, room: Room) -> int:
    first, reach = document.line_at(end), end + tokens * LONGEST_TOKEN
    last = document.line_count if reach >= len(document.text) else document.line_at(reach)
    lines = range(first, min(last, first + tokens))
    fit = bisect_right(lines, tokens, key=lambda line: room.count(document.text[end : document.next_line(line)]))
    if fit:
        return document.next_line(lines[fit - 1])
    return after_end(document, end, language_of(document.language, document.uri), tokens, room.count)


def _next_hole(document: Document, end: int, following: Span) -> int:
    """Where the unchanged code after `end` ends: at the next part's line if there is code between, else at `end`."""
    kept = document.text[end : following.start].strip()
    return document.line_start(document.line_at(following.start)) if kept else end
