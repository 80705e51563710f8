"""An incremental parse is a full one, and what is parsed doesn't grow with the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tree_sitter import Node

from dgls.code.document import Document, Span
from dgls.code.syntax import Syntax, parse
from dgls.suggest.plan import Budget, Quiet, plan


def document(text: str, language: str = "python") -> Document:
    return Document("untitled:1", 1, language, text)


def parsed(text: str, previous: Syntax | None = None, offset: int = 0) -> Syntax:
    syntax = parse(document(text), offset, previous)
    assert syntax is not None
    return syntax


def shape(node: Node) -> list[object]:
    return [node.type, node.byte_range, *map(shape, node.children)]


CODE = st.text(alphabet="ab(){}:\"'\n \u00e9\U0001f600", max_size=40)


@given(CODE, CODE)
def test_parse_after_an_edit_gives_the_tree_of_a_full_parse(old: str, new: str) -> None:
    assert shape(parsed(new, parsed(old)).tree.root_node) == shape(parsed(new).tree.root_node)


FUNCTION = '''def f{n}(a):
    """Doc of {n}.

    More.
    """
    return g(a, {n})


'''
LONG = "".join(FUNCTION.format(n=n) for n in range(1000))


def test_parse_of_a_moving_window_gives_the_tree_of_a_full_parse() -> None:
    text, offset = LONG, len(LONG) // 2
    syntax = parsed(text, None, offset)
    for letter in "def h(a):\n    return [a\n" * 30:
        text, offset = text[:offset] + letter + text[offset:], offset + 1
        syntax = parsed(text, syntax, offset)
        assert text.startswith(syntax.text, syntax.start)
    assert shape(syntax.tree.root_node) == shape(parsed(text, None, offset).tree.root_node)


def test_window_in_a_long_file_is_short_and_stays_put_while_typing() -> None:
    offset = LONG.index("def f500(")
    windows = set()
    for length in range(40):
        text = LONG[:offset] + "    some_name(with_an_argument, another)\n"[:length] + LONG[offset:]
        syntax = parsed(text, None, offset + length)
        assert syntax.text.startswith("def f")
        windows.add((syntax.start, len(syntax.text) - length))
    assert len(windows) == 1
    assert windows.pop()[1] < 30_000


def test_parse_of_a_line_too_long_is_none() -> None:
    assert parse(document("x = [" + "1, " * 100_000 + "]\n"), 5) is None


def test_has_error_outside_the_body_of_the_error_is_false() -> None:
    text = "def f():\n    return 1\n\n\ndef g():\n    return (\n"
    syntax = parsed(text)
    inside, after = Span(20, 20), Span(len(text), len(text))
    assert (syntax.has_error(inside), syntax.has_error(after)) == (False, True)
    assert syntax.breaks(inside, "= ")
    assert not syntax.breaks(inside, "2 +")
    assert not syntax.breaks(after, "= ")


PROSE = """
This is a paragraph of a template, as long as the window. Don't call it code: it's none.
  - an item (with a bracket

"""


@pytest.mark.parametrize("quotes", ['"""', "'''"])
@pytest.mark.parametrize(("marker", "in_string"), [("return g(a, 2", False), ("def f1(", False), ("Doc of 1", True)])
def test_plan_in_a_window_that_starts_in_a_string_tells_code_from_strings(
    quotes: str, marker: str, in_string: bool
) -> None:
    text = f"TEXT = {quotes}{PROSE * 400}{quotes}\n\n\n{FUNCTION.format(n=1)}{FUNCTION.format(n=2)}"
    at = text.index(marker) + len(marker)
    syntax = parsed(text, None, at)
    assert syntax.text.startswith("This is"), "the window starts in the string"
    assert (plan(document(text), at, Budget(), syntax) is Quiet.STRING) == in_string


METHODS = {
    "java": ("class A {\n", "  void m{n}() {{\n    a({n});\n  }}\n\n"),
    "javascript": ("class A {\n", "  m{n}() {{\n    a({n});\n  }}\n\n"),
    "cpp": ("namespace a {\n", "  void m{n}() {{\n    a({n});\n  }}\n\n"),
    "rust": ("impl A {\n", "  fn m{n}() {{\n    a({n});\n  }}\n\n"),
}


@pytest.mark.parametrize("language", METHODS)
@pytest.mark.parametrize("number", [20, 1000, 1980])
def test_breaks_in_a_window_cut_out_of_a_long_body_still_tells(language: str, number: int) -> None:
    head, method = METHODS[language]
    text = head + "".join(method.format(n=n) for n in range(2000)) + "}\n"
    at = text.index(f"a({number});")
    syntax = parse(document(text, language), at)
    assert syntax is not None
    assert not syntax.has_error(Span(at, at))
    assert syntax.breaks(Span(at, at), "b(= 1); ")
    assert not syntax.breaks(Span(at, at), "b(1); ")


def test_byte_of_an_offset_counts_code_points() -> None:
    syntax = parsed("'\U0001f600\u00e9' + name\n")
    assert syntax.byte(8) == len("'\U0001f600\u00e9' + n".encode())
    assert syntax.around(9)[0].type == "identifier"


@given(st.text(alphabet="a\ud83d\ude00\U0001f600\n", max_size=10))
def test_parse_of_lone_surrogates_gives_a_tree(text: str) -> None:
    syntax = parsed(text)
    assert syntax.byte(len(text)) == len(syntax.source)


def test_lineage_of_each_node_is_that_of_its_parents() -> None:
    syntax = parsed("def f(a, b=(1, [2])):\n    return f'{a}' if b else (\n")
    nodes = [syntax.tree.root_node]
    for node in nodes:
        nodes += node.children
        parents = [node]
        while (parent := parents[-1].parent) is not None:
            parents.append(parent)
        assert list(syntax.lineage(node)) == parents
    assert len(nodes) > 20


def test_around_in_a_tree_of_thousands_of_levels_is_the_innermost_ones() -> None:
    depth = 5000
    syntax = parsed("x = " + "(" * depth + "a" + ")" * depth + "\n")
    around = syntax.around(4 + depth + 1)
    assert around[0].type == "identifier"
    assert len(around) == 1000
