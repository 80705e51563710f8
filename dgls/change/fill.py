"""Fill one stub, or all stubs of a document.

As many stubs as fit share a canvas; each is a hole on its own lines between pinned text. Later canvases see the fills
of earlier ones. A fill is adapted like one of inline completion. A stub without a usable fill stays as it is. Pure;
runs on any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from dgls.change.stubs.finding import Stub, stub_at, stubs_in
from dgls.change.stubs.placeholders import is_placeholder, says_todo, says_what
from dgls.change.task import Task
from dgls.code.breakage import Breakage
from dgls.code.document import Document, Span
from dgls.code.indentation import indentation
from dgls.code.languages import Language, language_of
from dgls.code.syntax import Syntax, parse
from dgls.code.window import CountTokens, after_end, before_start
from dgls.errors import NothingToDo
from dgls.suggest.plan import BLOCK_LINES, BLOCK_TOKENS, LINE_TOKENS, Region
from dgls.suggest.suggestion import Rejection, suggest, unbroken
from dgls_engine.types import Hole

LEAST_TOKENS = 12
"""The shortest hole: half of all one-line bodies fit. A canvas takes no further stub that would shorten it more."""
_SHARES = (1.0, 0.5, 0.25)  # of the budgets before and after, tried in turn if the holes need more room
_TEXTS = ('"""', "'''", 'r"""')  # a body that is asked for is more than its description


def fill(task: Task, document: Document, room: Room, syntax: Syntax | None) -> Job:
    """Fill the stub at the task's span. `syntax` is the tree around it."""
    stub = stub_at(document, task.span.start, syntax)
    if stub is None:
        raise NothingToDo(
            "there is no stub here; name a line of a function that has no code yet, or a comment that says TODO"
        )
    return (yield from filled(document, [stub], room, keep_broken=True))


def fill_all(task: Task, document: Document, room: Room) -> Job:
    """Fill all stubs of the document."""
    stubs = stubs_in(document)
    if not stubs:
        raise NothingToDo(
            "no function in this file is a stub; write only a TODO comment in the body of one that has no code yet"
        )
    return (yield from filled(document, stubs, room, keep_broken=False))


def filled(document: Document, stubs: Sequence[Stub], room: Room, keep_broken: bool) -> Job:
    """Fill `stubs`. The outcome's confidence, that all fills are right, is the product of theirs.

    `keep_broken`: keep a fill that breaks the file. For a single stub the user is warned; among many, nobody would
    notice it.
    """
    done: list[Replacement] = []
    confidences: list[float | None] = []
    for plan in packed(document, stubs, room):
        passage = _passage(document, plan, done, room)
        infill = yield passage
        for stub, gap, fill in zip(plan.stubs, passage.gaps, infill.fills, strict=True):
            code = _code(passage, gap, stub, fill.text)
            sound = None if code is None else _sound(document, stub, code, done)
            chosen = code if sound is None and keep_broken else sound
            if chosen is not None:
                done.append(Replacement(stub.span, stub.lead + chosen + stub.tail))
                confidences.append(fill.confidence)
    return Outcome(document, tuple(done), confidence_of(confidences))


@dataclass(frozen=True, slots=True)
class CanvasPlan:
    """Stubs that share a canvas, with the tokens for each hole and for the text before and after them."""

    stubs: tuple[Stub, ...]
    hole_tokens: int
    before_tokens: int
    after_tokens: int


def packed(document: Document, stubs: Sequence[Stub], room: Room) -> Iterator[CanvasPlan]:
    """Group stubs into canvases, in text order, as many in each as fit.

    The holes of a canvas are equally long. To fit one more, first the pinned text around shrinks, then the holes.
    """
    first = 0
    while first < len(stubs):
        best = _canvas_plan(document, stubs[first : first + 1], room)
        for stop in range(first + 2, len(stubs) + 1):
            more = _canvas_plan(document, stubs[first:stop], room)
            if more.hole_tokens < LEAST_TOKENS:
                break
            best = more
        yield best
        first += len(best.stubs)


def _canvas_plan(document: Document, stubs: Sequence[Stub], room: Room) -> CanvasPlan:
    """The layout with the most pinned text that leaves room for a line in each hole, or else the longest holes."""
    between = 0
    for stub, following in pairwise(stubs):
        pinned = document.text[stub.span.end : following.span.start]
        far = len(pinned) > room.canvas_tokens * LONGEST_TOKEN
        between += room.canvas_tokens if far else room.count(stub.tail + pinned + following.lead)
    signature = room.count(document.text[_signature(document, stubs[0]) : stubs[0].span.start] + stubs[0].lead)
    least = signature if signature <= room.before_tokens else 0
    best = CanvasPlan(tuple(stubs), 0, 0, 0)
    for share in _SHARES:
        before, after = max(int(room.before_tokens * share), least), int(room.after_tokens * share)
        each = (room.canvas_tokens - before - after - between) // len(stubs)
        if each > best.hole_tokens:
            best = CanvasPlan(tuple(stubs), min(each, BLOCK_TOKENS), before, after)
        if each >= LINE_TOKENS:
            break
    return best


def _passage(document: Document, plan: CanvasPlan, done: Sequence[Replacement], room: Room) -> Passage:
    """The passage for `plan`, in the document with the fills `done` and empty gaps for its stubs."""
    stubs, language = plan.stubs, language_of(document.language, document.uri)
    avoid = (*language.comment_tokens, *_TEXTS) if room.continues else ()
    opened = applied(document, [*done, *(Replacement(stub.span, stub.lead + stub.tail) for stub in stubs)])
    shift = sum(len(each.text) - each.span.length for each in done)
    gaps: list[Gap] = []
    for stub in stubs:
        at = stub.span.start + shift + len(stub.lead)
        stop = "\n" if stub.indent is None else None
        indent = (room.continues and stub.indent) or ""
        hole = Hole(max_tokens=plan.hole_tokens, stop=stop, indent=indent, avoid=avoid)
        gaps.append(Gap(Span(at, at), hole, stub.span, stub.lead, stub.tail))
        shift += len(stub.lead) + len(stub.tail) - stub.span.length
    at = _signature(document, stubs[0])
    signature = moved(Span(at, at), done).start
    start = _canvas_start(opened, gaps[0].span.start, signature, language, plan.before_tokens, room.count)
    end = _canvas_end(opened, gaps[-1].span.end, language, plan.after_tokens, room.count)
    notes = (_note(document, stub, language) for stub in stubs)
    return Passage(opened, Span(start, end), tuple(gaps), current="\n".join(note for note in notes if note))


def _canvas_start(
    document: Document, hole: int, signature: int, language: Language, tokens: int, count: CountTokens
) -> int:
    """Where the pinned text before starts: with the signature if it fits, and without reserve, as nobody types here."""
    starts = [before_start(document, hole, language, each, count) for each in (tokens * 4 // 3, tokens)]
    return min(start for start in (*starts, signature, hole) if count(document.text[start:hole]) <= tokens)


def _canvas_end(document: Document, hole: int, language: Language, tokens: int, count: CountTokens) -> int:
    ends = [after_end(document, hole, language, each, count) for each in (tokens * 4 // 3, tokens)]
    return max(end for end in (*ends, hole) if count(document.text[hole:end]) <= tokens)


def _signature(document: Document, stub: Stub) -> int:
    """The start of the line on which the stub's signature begins."""
    return document.line_start(document.line_at(stub.start))


def _note(document: Document, stub: Stub, language: Language) -> str:
    """The stub's placeholders, if a comment among them describes the code, else ""."""
    text = document.text[stub.span.start : stub.span.end]
    mark = (language.line_comments or ("\n",))[0].removeprefix("^")
    comments = text.partition(mark)[2]
    return text.strip() if says_todo(comments) and says_what(comments) else ""


def _sound(document: Document, stub: Stub, code: str, done: Sequence[Replacement]) -> str | None:
    """The longest start of `code`, in lines, that breaks nothing that parses now. None if even the first line does."""
    now, span = applied(document, done), moved(stub.span, done)
    syntax = parse(now, span.start)
    if syntax is None:
        return code
    breakage = Breakage(now, span, syntax)
    return unbroken(code, lambda shorter: breakage.by(stub.lead + shorter + stub.tail))


def _code(passage: Passage, gap: Gap, stub: Stub, infill: str) -> str | None:
    """The infill adapted to the gap. None if it holds no more than placeholders."""
    text, language = passage.document.text, language_of(passage.document.language, passage.document.uri)
    # A small canvas may begin behind the indentation of the stub's line, which the fill is adapted to.
    start = min(passage.canvas.start, passage.document.line_start(passage.document.line_at(gap.span.start)))
    region = Region(
        version=passage.document.version,
        span=gap.span,
        above=text[:start],
        before=text[start : gap.span.start],
        after=text[gap.span.end : passage.canvas.end],
        below=text[passage.canvas.end :],
        kind="block" if stub.indent is not None else "line",
        stop=gap.hole.stop,
        indents=(indentation(passage.document.line_text(passage.document.line_at(gap.span.start))),),
        max_tokens=gap.hole.max_tokens,
        max_lines=BLOCK_LINES if stub.indent is not None else 1,
    )
    suggestion = suggest(passage.document, region, infill)
    if isinstance(suggestion, Rejection):
        return None
    lines = suggestion.new_text.splitlines()
    return None if all(is_placeholder(line, language) for line in lines) else suggestion.new_text
