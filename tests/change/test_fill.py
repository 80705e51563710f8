"""Filling stubs from scripted answers: the cases of fixtures/stubs, and laws for any functions and fills."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgls.change.fill import LEAST_TOKENS
from dgls.change.offer import start
from dgls.change.passage import Job, Passage, Room, applied, carry_out
from dgls.change.stubs.finding import stubs_in
from dgls.change.task import Action, Task
from dgls.code.document import Document, Span
from dgls.code.syntax import parse, parse_all
from dgls.errors import NothingToDo
from dgls_engine.types import Limits, Pinned
from tests.change.stubs import LARGE, SMALL, Case, Script, read_cases

CASES = list(read_cases())


def job(document: Document, offset: int | None, room: Room) -> Job:
    if offset is None:
        return start(Task(Action.FILL_ALL, Span(0, 0)), document, room, None)
    return start(Task(Action.FILL, Span(offset, offset)), document, room, parse(document, offset))


@pytest.mark.parametrize("room", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fill_case_equals_fixture(case: Case, room: Room) -> None:
    script = Script(case.fills)
    if not case.replaces:
        with pytest.raises(NothingToDo, match=r"no stub|no function"):
            carry_out(job(case.document, case.offset, room), script)
        return
    outcome = carry_out(job(case.document, case.offset, room), script)
    assert outcome.document is case.document
    assert applied(case.document, outcome.replacements).text == case.result
    assert outcome.confidence == pytest.approx(0.5 ** len(outcome.replacements))
    for passage in script.passages:
        assert tokens(passage, room) <= room.canvas_tokens


@pytest.mark.parametrize("case", [case for case in CASES if case.replaces], ids=lambda case: case.name)
def test_fixtures_result_of_parsing_file_parses(case: Case) -> None:
    before, after = parse_all(case.document), parse_all(replace(case.document, text=case.result, _starts=[]))
    if before is not None and after is not None and not before.tree.root_node.has_error:
        assert not after.tree.root_node.has_error


def test_fill_language_without_tree_fills_stub() -> None:
    document = functions(2)
    task = Task(Action.FILL, Span(5, 5))
    outcome = carry_out(start(task, document, LARGE, None), Script(["return x"]))
    assert applied(document, outcome.replacements).text == document.text.replace("pass", "return x", 1)


@pytest.mark.parametrize(
    ("fill", "one", "all_of_them"),
    [
        ("a = 1\n    return a", "a = 1\n    return a", "a = 1\n    return a"),
        ("a = 1\n    return (", "a = 1", "a = 1"),
        ("return (", "return (", "pass"),
    ],
    ids=["sound", "sound but for its end", "broken"],
)
def test_fill_that_breaks_file_is_cut_before_it(fill: str, one: str, all_of_them: str) -> None:
    """If even the first line breaks the file, a single stub is filled all the same; among many, the stub stays."""
    document = functions(2)
    for offset, first in ((5, one), (None, all_of_them)):
        outcome = carry_out(job(document, offset, LARGE), Script([fill, "return x"]))
        expected = document.text.replace("pass", first, 1)
        expected = expected if offset is not None else expected[::-1].replace("ssap", "x nruter", 1)[::-1]
        assert applied(document, outcome.replacements).text == expected


def tokens(passage: Passage, room: Room) -> int:
    """The tokens of the canvas, including its holes."""
    segments = passage.request("", Limits(), 0).segments
    return sum(room.count(part.text) if isinstance(part, Pinned) else part.max_tokens for part in segments)


def functions(count: int, lines: int = 0) -> Document:
    text = "\n".join(f"def f{number}(x):\n    pass\n" + "y = 1\n" * lines for number in range(count))
    return Document("file:///a.py", 1, "python", text)


def test_packed_single_stub_gets_all_room() -> None:
    script = Script(["return x"])
    carry_out(job(functions(1), None, SMALL), script)
    carry_out(job(functions(1), None, LARGE), script)
    assert [passage.gaps[0].hole.max_tokens for passage in script.passages] == [39, 64]


def test_packed_stubs_share_canvases_while_they_fit() -> None:
    script = Script(["return x"])
    outcome = carry_out(job(functions(9), None, SMALL), script)
    sizes = [len(passage.gaps) for passage in script.passages]
    assert sum(sizes) == len(outcome.replacements) == 9
    assert len(sizes) < 9 > max(sizes) > 1
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    for passage in script.passages:
        assert len({gap.hole.max_tokens for gap in passage.gaps}) == 1
        assert passage.gaps[0].hole.max_tokens >= LEAST_TOKENS
        signature = passage.document.text.rindex("def", 0, passage.gaps[0].span.start)
        assert passage.canvas.start <= signature


def test_packed_distant_stub_gets_own_canvas() -> None:
    script = Script(["return x"])
    carry_out(job(functions(3, lines=200), None, LARGE), script)
    assert [len(passage.gaps) for passage in script.passages] == [1, 1, 1]


def test_filled_later_canvas_sees_earlier_fills() -> None:
    script = Script([f"return {number}" for number in range(9)])
    document = functions(9)
    carry_out(job(document, None, SMALL), script)
    stubs = stubs_in(document)
    seen = 0
    for passage in script.passages:
        assert all(f"return {number}\n" in passage.document.text for number in range(seen))
        for gap in passage.gaps:
            assert gap.origin == stubs[seen].span
            assert passage.document.text[: gap.span.start].endswith(f"def f{seen}(x):\n    ")
            seen += 1


def test_filled_canvas_without_code_before_the_hole_keeps_its_indentation() -> None:
    text = "class A:\n    def f(self):\n        pass\n"
    room = replace(LARGE, before_tokens=1, after_tokens=0)
    outcome = carry_out(job(Document("file:///a.py", 1, "python", text), None, room), Script(["return 1\n\n    def g"]))
    assert applied(outcome.document, outcome.replacements).text == text.replace("pass", "return 1")


@pytest.mark.parametrize("continues", [False, True])
def test_filled_stub_begins_with_code_where_the_model_writes_on(continues: bool) -> None:
    script = Script(["return 1"])
    carry_out(job(functions(1), None, replace(LARGE, continues=continues)), script)
    [gap] = script.passages[0].gaps
    assert {'"""', "#"} <= {*gap.hole.avoid} if continues else gap.hole.avoid == ()


def test_filled_todo_comment_is_in_prompt() -> None:
    script = Script(["return x"])
    text = "def f(x):\n    pass  # TODO: add one\n"
    carry_out(job(Document("file:///a.py", 1, "python", text), None, LARGE), script)
    assert script.passages[0].current == "pass  # TODO: add one"


def test_filled_unusable_infill_leaves_document_unchanged() -> None:
    outcome = carry_out(job(functions(2), None, LARGE), Script(["  \n", "# TODO"]))
    assert (outcome.replacements, outcome.confidence) == ((), None)


HEADERS = {
    "python": ("def {}(a):", ""),
    "javascript": ("function {}(a) {{", "}"),
    "go": ("func {}(a int) int {{", "}"),
    "ruby": ("def {}(a)", "end"),
}
BODIES = {
    "python": ["{i}pass", "{i}...", "{i}raise NotImplementedError", "{i}# TODO{n}{i}pass", "{i}return a", ""],
    "javascript": ["", "{i}// TODO", "{i}throw new Error('not implemented');", "{i}return a;", "{i}// 😀 TODO: é"],
    "go": ["", "{i}// TODO", '{i}panic("not implemented")', "{i}return a", "{i}// 😀 TODO: é"],
    "ruby": ["", "{i}# TODO", "{i}raise NotImplementedError", "{i}a", "{i}# 😀 TODO: é"],
}


@st.composite
def programs(draw: st.DrawFn) -> Document:
    """Several functions, some of them without code."""
    language = draw(st.sampled_from(sorted(HEADERS)))
    newline, indent = draw(st.sampled_from(["\n", "\r\n"])), draw(st.sampled_from(["    ", "  ", "\t"]))
    opens, closes = HEADERS[language]
    lines: list[str] = []
    for number in range(draw(st.integers(1, 6))):
        lines.append(opens.format(f"f{number}"))
        if body := draw(st.sampled_from(BODIES[language])):
            lines.append(body.format(i=indent, n=newline))
        lines += [closes, ""]
    return Document("untitled:1", 1, language, newline.join(lines))


FILLS = st.lists(
    st.sampled_from(
        ["return a", "x = 1", "\n", "    ", "\t", "}", ")", "end", "pass", "{", '"', "def g():", "😀", " ", ""]
    ),
    max_size=6,
).map("".join)


@settings(max_examples=200)
@given(programs(), st.lists(FILLS, min_size=1, max_size=6), st.sampled_from([SMALL, LARGE]))
def test_filled_any_functions_change_only_holes(document: Document, fills: list[str], room: Room) -> None:
    stubs = stubs_in(document)
    if not stubs:
        return
    script = Script(fills)
    outcome = carry_out(job(document, None, room), script)
    spans = {stub.span for stub in stubs}
    assert {each.span for each in outcome.replacements} <= spans
    assert all(each.text.strip() for each in outcome.replacements)
    filled, at, rest = applied(document, outcome.replacements).text, 0, 0
    for each in outcome.replacements:
        kept = document.text[at : each.span.start]
        assert filled[rest : rest + len(kept) + len(each.text)] == kept + each.text
        at, rest = each.span.end, rest + len(kept) + len(each.text)
    assert filled[rest:] == document.text[at:]
    if document.newline == "\r\n":
        assert filled.count("\n") == filled.count("\r\n")
    assert all(tokens(passage, room) <= room.canvas_tokens for passage in script.passages)
