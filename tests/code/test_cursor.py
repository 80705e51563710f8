"""The cursor's view of its line, the lines around and the tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.code.cursor import Cursor, Inside
from dgls.code.document import Document, Span
from dgls.code.syntax import parse


def cursor_at(marked: str, language: str = "python", with_tree: bool = True) -> Cursor:
    left, right = marked.split("|")
    document = Document("untitled:1", 1, language, left + right)
    return Cursor.at(document, len(left), parse(document, len(left)) if with_tree else None)


@given(st.text(alphabet="a \t\r\n", max_size=20), st.integers(-2, 22))
def test_at_any_offset_stays_on_a_line(text: str, offset: int) -> None:
    cursor = Cursor.at(Document("untitled:1", 1, "python", text), offset)
    assert cursor.document.line_text(cursor.line) == cursor.left + cursor.right
    assert cursor.document.line_start(cursor.line) + len(cursor.left) == cursor.offset
    clamped = min(max(0, offset), len(text))
    assert clamped - cursor.offset == (text[clamped - 1 : clamped + 1] == "\r\n")


@pytest.mark.parametrize(
    ("marked", "span"), [("  |  \n", Span(2, 4)), ("x |  \n", Span(2, 2)), ("| x\n", Span(0, 0)), ("|", Span(0, 0))]
)
def test_span_covers_only_the_whitespace_that_ends_a_blank_line(marked: str, span: Span) -> None:
    assert cursor_at(marked).span == span


def test_lines_around_skip_blank_lines() -> None:
    cursor = cursor_at("if a:\n\n    |\n\n    b()\n")
    assert (cursor.line_above, cursor.above) == (0, "if a:")
    assert (cursor.line_below, cursor.below) == (4, "    b()")


def test_lines_around_without_any_are_none_and_empty() -> None:
    cursor = cursor_at("\n|\n\n")
    assert (cursor.line_above, cursor.above, cursor.line_below, cursor.below) == (None, "", None, "")


@pytest.mark.parametrize(("below", "has_body"), [("    b()\n", True), ("b()\n", False), ("", False)])
def test_has_body_needs_a_deeper_line_below(below: str, has_body: bool) -> None:
    assert cursor_at(f"if a:|\n{below}").has_body is has_body


@pytest.mark.parametrize(
    ("marked", "language", "inside"),
    [
        ("x = 'a|b'\n", "python", "string"),
        ("x = 'ab'|\n", "python", "code"),
        ("x = f'{a|}'\n", "python", "code"),
        ("x = '|\n", "python", "string"),
        ("x = 1  # one|\n", "python", "comment"),
        ("x = 1  # one\n|\n", "python", "code"),
        ("a(); /* one| */\n", "javascript", "comment"),
        ("a(); /* one */|\n", "javascript", "code"),
        ("let a: string|;\n", "typescript", "code"),
    ],
)
def test_inside_tells_strings_and_comments_from_code(marked: str, language: str, inside: Inside) -> None:
    assert cursor_at(marked, language).inside == inside


@pytest.mark.parametrize(("marked", "inside"), [("x = '|\n", "string"), ("x  # |\n", "comment"), ("x = |\n", "code")])
def test_inside_without_a_tree_goes_by_the_line(marked: str, inside: Inside) -> None:
    cursor = cursor_at(marked, with_tree=False)
    assert (cursor.nodes, cursor.parses) == ((), False)
    assert cursor.inside == inside


def test_cursor_fields_are_computed_once() -> None:
    cursor = cursor_at("def f():\n    return [a|]\n")
    assert cursor.nodes is cursor.nodes
    assert cursor.first_indents is cursor.first_indents


@pytest.mark.parametrize(
    ("marked", "starts"),
    [
        ("def f(x):\n|\n    return x\n", True),
        ('def f(x):\n    """Double it."""\n|\n    return x\n', True),
        ('def f(x):\n    """Double it.\n\n    Twice.\n    """\n\n|\n    return x\n', True),
        ('class A:\n    """Text."""\n\n|\n', True),
        ('def f(x):\n    """Double it."""\n    y = 2\n|\n    return x\n', False),
        ('def f(x):\n    y = "text"\n|\n    return x\n', False),
        ('"""A module."""\n|\nimport os\n', False),
        ("x = 1\n|\n", False),
        ("|", False),
    ],
)
def test_starts_body_after_its_head_and_docstring(marked: str, starts: bool) -> None:
    assert cursor_at(marked).starts_body is starts


def test_inside_php_far_below_its_opening_mark_goes_by_the_tree() -> None:
    text = "<?php\n" + "function f($a) {\n    return 'the ' . $a;\n}\n\n" * 1500
    at = text.rindex("the ")
    document = Document("untitled:1", 1, "php", text)
    syntax = parse(document, at)
    assert syntax is not None
    assert syntax.start > 0
    cursor = Cursor.at(document, at, syntax)
    assert any(node.type == "function_definition" for node in cursor.nodes)
    assert cursor.inside == "string"


def test_inside_a_script_far_below_its_tag_goes_by_its_marks() -> None:
    text = "<script>\n" + "f('a');\n" * 1000 + 'g("the '
    assert Cursor.at(Document("untitled:1", 1, "vue", text), len(text)).inside == "string"
