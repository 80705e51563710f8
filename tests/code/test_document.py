"""The document against a naive model: any text, any edit, all three encodings."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.code.document import Change, Document, Position, PositionEncoding

TEXT = st.text(alphabet="ab\n\r\t\f\v\x1c\x85\u2028\u00e9\u4e16\U0001f600", max_size=40) | st.text(max_size=20)
ENCODING = st.sampled_from(["utf-8", "utf-16", "utf-32"])
POSITION = st.builds(Position, st.integers(0, 8), st.integers(0, 20))


def document(text: str) -> Document:
    return Document("untitled:1", 1, "python", text)


def naive_lines(text: str) -> list[tuple[int, int]]:
    """Start and end of each line, one character after another."""
    lines, start, at = [], 0, 0
    while at < len(text):
        width = 2 if text[at : at + 2] == "\r\n" else 1 if text[at] in "\r\n" else 0
        if width:
            lines.append((start, at))
            start = at + width
        at += width or 1
    return [*lines, (start, len(text))]


def units(char: str, encoding: str) -> int:
    return {"utf-8": len(char.encode()), "utf-16": 1 + (ord(char) > 0xFFFF), "utf-32": 1}[encoding]


def naive_offset(text: str, position: Position, encoding: str) -> int:
    lines = naive_lines(text)
    if position.line >= len(lines):
        return len(text)
    offset, end = lines[position.line]
    spent = 0
    while offset < end and spent + units(text[offset], encoding) <= position.character:
        spent += units(text[offset], encoding)
        offset += 1
    return offset


@given(TEXT)
def test_document_of_any_text_has_the_lines_of_lsp(text: str) -> None:
    doc = document(text)
    assert [(doc.line_start(line), doc.line_end(line)) for line in range(doc.line_count)] == naive_lines(text)


@given(TEXT, POSITION, ENCODING)
def test_offset_of_any_position_is_that_of_the_naive_model(
    text: str, position: Position, encoding: PositionEncoding
) -> None:
    assert document(text).offset(position, encoding) == naive_offset(text, position, encoding)


@given(TEXT, ENCODING)
def test_offset_of_the_position_of_an_offset_is_the_offset(text: str, encoding: PositionEncoding) -> None:
    doc = document(text)
    for offset in range(len(text) + 1):
        inside_break = text[offset - 1 : offset + 1] == "\r\n"
        assert doc.offset(doc.position(offset, encoding), encoding) == offset - inside_break


@given(TEXT, st.lists(st.tuples(POSITION, POSITION, TEXT), max_size=4), ENCODING)
def test_apply_of_several_edits_applies_them_in_order(
    text: str, edits: list[tuple[Position, Position, str]], encoding: PositionEncoding
) -> None:
    doc = document(text).apply([Change(new, start, end) for start, end, new in edits], 7, encoding)
    for start, end, new in edits:
        first = naive_offset(text, start, encoding)
        text = text[:first] + new + text[max(first, naive_offset(text, end, encoding)) :]
    assert doc == Document("untitled:1", 7, "python", text)
    assert [(doc.line_start(line), doc.line_end(line)) for line in range(doc.line_count)] == naive_lines(text)


def test_apply_without_positions_replaces_everything() -> None:
    assert document("a\nb").apply([Change("c\r\nd")], 2, "utf-16") == Document("untitled:1", 2, "python", "c\r\nd")


@pytest.mark.parametrize(
    ("text", "position", "encoding", "offset"),
    [
        ("a\U0001f600b", Position(0, 2), "utf-16", 1),
        ("a\U0001f600b", Position(0, 3), "utf-16", 2),
        ("a\u00e9b", Position(0, 2), "utf-8", 1),
        ("ab\r\ncd", Position(0, 99), "utf-16", 2),
        ("ab\r\ncd", Position(9, 0), "utf-16", 6),
        ("a\x0cb\u2028c\nd", Position(1, 0), "utf-16", 6),
        ("", Position(0, 5), "utf-8", 0),
    ],
)
def test_offset_of_a_position_outside_is_clamped_or_rounded_down(
    text: str, position: Position, encoding: PositionEncoding, offset: int
) -> None:
    assert document(text).offset(position, encoding) == offset


@pytest.mark.parametrize(
    ("text", "newline"), [("", "\n"), ("a", "\n"), ("a\nb\r\n", "\n"), ("a\r\nb", "\r\n"), ("a\rb", "\r")]
)
def test_newline_is_the_break_of_the_first_line(text: str, newline: str) -> None:
    assert document(text).newline == newline


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_apply_to_ten_thousand_lines_takes_milliseconds(newline: str) -> None:
    doc = document(("    return some_function(argument)" + newline) * 10_000)
    assert best_of(5, lambda: edited(doc, Position(5_000, 8))) < 0.02  # some 1.5 ms when the machine is idle


def test_apply_to_one_long_line_takes_milliseconds() -> None:
    doc = document("x = '\U0001f600'" + "a" * 500_000)
    assert best_of(5, lambda: edited(doc, Position(0, 400_000))) < 0.05


def edited(doc: Document, at: Position) -> None:
    doc.apply([Change("x", at, at)], 2, "utf-16")


def best_of(times: int, work: object) -> float:
    assert callable(work)
    seconds = []
    for _ in range(times):
        start = time.thread_time()
        work()
        seconds.append(time.thread_time() - start)
    return min(seconds)
