"""Laws of rewriting, refining and fixing, for any text, selection, room and answers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dgls.change.edit import breaks, checked_changes, is_large, minimal_changes
from dgls.change.offer import Diagnosed, offers, start
from dgls.change.passage import Outcome, Passage, Room, applied, carry_out, moved
from dgls.change.task import Action, Task
from dgls.code.document import Document, Span
from dgls.code.syntax import parse
from dgls.errors import NothingToDo
from dgls_engine.types import Infill
from tests.change.scripted import infill_of

LANGUAGES = st.sampled_from(["python", "javascript", "rust", "yaml", "plaintext"])
LINES = [
    "if x:",
    "    return x",
    "}",
    "def f(a):",
    "\t",
    "é = '\U0001f600'",
    "\f",
    "x\u2028y",
    "  ",
    "",
    "# \x85",
    "f(1, 2)",
]
CODE = st.lists(
    st.tuples(st.sampled_from(LINES), st.sampled_from(["\n", "\n", "\r\n", "\r", ""])).map("".join), max_size=14
).map("".join)
TEXT = (
    CODE | st.text(alphabet="ab (){}:'#\n\r\t\f\u2028\u00e9\U0001f600\u0301\u200d", max_size=80) | st.text(max_size=40)
)
FILLS: st.SearchStrategy[list[str]] = st.lists(CODE | st.text(max_size=20), min_size=1, max_size=4)
OFFSETS = st.integers(0, 120)
ROOMS = st.builds(
    Room,
    canvas_tokens=st.integers(1, 90),
    before_tokens=st.integers(0, 30),
    after_tokens=st.integers(0, 30),
    hole_tokens=st.integers(1, 40),
    instructions=st.just(True),
    count=st.sampled_from([len, lambda text: -(-len(text) // 3)]),
)


@dataclass(frozen=True, slots=True)
class Run:
    document: Document
    task: Task
    room: Room
    passages: tuple[Passage, ...]
    outcome: Outcome

    @property
    def origins(self) -> list[Span]:
        """Each gap once, even after several attempts."""
        return list(dict.fromkeys(gap.origin for each in self.passages for gap in each.gaps))


def run(language: str, text: str, task: Task, room: Room, fills: list[str]) -> Run | None:
    """Answer the holes with `fills` in turn; every third hole gets its old text back."""
    document = Document("untitled:1", 1, language, text)
    passages: list[Passage] = []

    def infill(passage: Passage) -> Infill:
        assert len(passages) <= len(text) * 3, "the job does not end"
        passages.append(passage)
        number = sum(len(each.gaps) for each in passages)
        old = passage.document.text
        return infill_of(
            *(
                old[gap.span.start : gap.span.end] if (number + at) % 3 == 0 else fills[(number + at) % len(fills)]
                for at, gap in enumerate(passage.gaps)
            )
        )

    try:
        outcome = carry_out(start(task, document, room, parse(document, task.span.start)), infill)
    except NothingToDo:
        return None
    return Run(document, task, room, tuple(passages), outcome)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Runs of a task that has something to do."""
    text = draw(TEXT)
    assume(text.strip())
    offset = st.integers(0, len(text)) | st.sampled_from([0, len(text)])
    start, end = sorted((draw(offset), draw(offset)))
    task = Task(
        draw(st.sampled_from([Action.REWRITE, Action.REFINE, Action.FIX])),
        Span(start, end),
        instruction=draw(st.sampled_from(["", "simplify"])),
        strength=draw(st.sampled_from([0.15, 0.7])),
        keep=draw(st.lists(st.integers(0, 12), max_size=3).map(tuple)),
    )
    done = run(draw(LANGUAGES), text, task, draw(ROOMS), draw(FILLS))
    assume(done is not None)
    assert done is not None
    return done


@settings(max_examples=150)
@given(runs())
def test_outcome_any_task_changes_only_gaps(done: Run) -> None:
    """Compares by position, unlike `checked`."""
    text, changes = done.document.text, checked_changes(done.outcome, minimal_changes(done.outcome), done.origins)
    new = applied(done.document, changes).text
    grown = [0] * len(done.origins)
    for each in done.outcome.replacements:
        grown[done.origins.index(each.span)] += len(each.text) - each.span.length
    ends = [(origin.end, origin.end + sum(grown[: at + 1])) for at, origin in enumerate(done.origins)]
    starts = [*(origin.start for origin in done.origins), len(text)]
    for (old_at, at), old_to in zip([(0, 0), *ends], starts, strict=True):
        assert new[at : at + old_to - old_at] == text[old_at:old_to]
    assert len(new) == len(text) + sum(grown)


@settings(max_examples=150)
@given(runs())
def test_outcome_kept_lines_stay_in_order(done: Run) -> None:
    document, replacements = done.document, done.outcome.replacements
    new = applied(document, replacements)
    for line in done.task.keep:
        if line < document.line_count:
            start = document.line_start(line)
            at = moved(Span(start, start), replacements).start
            assert new.text[at : at + len(document.line_text(line))] == document.line_text(line)
            assert not any(each.span.start < document.line_end(line) and each.span.end > start for each in replacements)


@settings(max_examples=150)
@given(runs())
def test_gaps_any_task_cover_selection_once(done: Run) -> None:
    assert all(left.end <= right.start for left, right in pairwise(done.origins))
    assert all(origin.start < origin.end for origin in done.origins)
    document, text, task = done.document, done.document.text, done.task
    covered = {at for origin in done.origins for at in range(origin.start, origin.end)}
    assert not {document.line_at(at) for at in covered} & set(task.keep)
    if task.action is not Action.FIX:
        selected = (at for at in range(task.span.start, min(task.span.end, len(text))) if not text[at].isspace())
        assert {at for at in selected if document.line_at(at) not in task.keep} <= covered
        first, last = document.line_at(min(task.span.start, len(text))), document.line_at(min(task.span.end, len(text)))
        assert {document.line_at(at) for at in covered} <= set(range(first, last + 1))


@settings(max_examples=150)
@given(runs())
def test_outcome_outside_selection_changes_only_blanks(done: Run) -> None:
    """Except for a fix, which changes its statement."""
    assume(done.task.action is not Action.FIX)
    text, selected = done.document.text, done.task.span
    for each in done.outcome.replacements:
        assert not text[each.span.start : selected.start].strip()
        assert not text[max(each.span.start, selected.end) : each.span.end].strip()


@settings(max_examples=150)
@given(runs())
def test_breaks_without_rewrite_is_false(done: Run) -> None:
    assert done.task.action is Action.REWRITE or len(done.origins) > 1 or not breaks(done.outcome)


@settings(max_examples=150)
@given(runs())
def test_passages_any_task_are_well_formed(done: Run) -> None:
    text, room = done.document.text, done.room
    for passage in done.passages:
        new, canvas, gaps = passage.document.text, passage.canvas, passage.gaps
        assert gaps
        for gap in gaps:
            assert new[gap.span.start : gap.span.end] == text[gap.origin.start : gap.origin.end]
            assert getattr(gap.hole.start, "text", None) in (None, new[gap.span.start : gap.span.end])
        before, after = new[canvas.start : gaps[0].span.start], new[gaps[-1].span.end : canvas.end]
        assert room.count(before) <= room.before_tokens
        assert room.count(after) <= room.after_tokens
        holes = sum(gap.hole.max_tokens for gap in gaps)
        between = sum(room.count(new[left.span.end : right.span.start]) for left, right in pairwise(gaps))
        short = len(gaps) == 1 and len(new[gaps[0].span.start : gaps[0].span.end].strip()) <= 2
        assert short or holes + between <= max(room.hole_tokens, room.canvas_tokens)
        if holes + between <= room.canvas_tokens:
            assert holes + between + room.count(before) + room.count(after) <= room.canvas_tokens
    assert done.passages[-1].canvas.end <= len(done.passages[-1].document.text)


@given(runs())
def test_outcome_infill_of_old_text_is_empty(done: Run) -> None:
    def infill(passage: Passage) -> Infill:
        return infill_of(*(passage.document.text[gap.span.start : gap.span.end] for gap in passage.gaps))

    syntax = parse(done.document, done.task.span.start)
    assert carry_out(start(done.task, done.document, done.room, syntax), infill).replacements == ()


@settings(max_examples=150)
@given(runs())
def test_minimal_any_outcome_makes_same_text(done: Run) -> None:
    text, changes = done.document.text, minimal_changes(done.outcome)
    assert applied(done.document, changes) == applied(done.document, done.outcome.replacements)
    assert all(text[each.span.start : each.span.end] != each.text for each in changes)
    breaks(done.outcome)
    is_large(done.outcome)


@given(LANGUAGES, TEXT, st.tuples(OFFSETS, OFFSETS), st.booleans())
def test_offers_any_place_can_be_started(language: str, text: str, ends: tuple[int, int], instructions: bool) -> None:
    document = Document("untitled:1", 1, language, text)
    first, last = (min(end, len(text)) for end in sorted(ends))
    span = Span(first, last)
    syntax = parse(document, first)
    room = Room(200, 50, 50, 99, instructions, len)
    for offer in offers(document, span, syntax, [Diagnosed(span, "wrong")], instructions):
        assert offer.title.strip()
        assert instructions or offer.task.action is Action.FIX or not offer.task.instruction
        if offer.task.action not in (Action.FILL, Action.FILL_ALL):
            assert next(start(offer.task, document, room, syntax)).gaps
