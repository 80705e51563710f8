"""What breaks code is found where the tree around the cursor can't tell, too."""

import pytest

from dgls.document import Document, Span
from dgls.region.breakage import breaks
from dgls.region.syntax import parse


def broken(text: str, new_text: str, language: str = "python") -> bool:
    left, right = text.split("|")
    document = Document("untitled:1", 1, language, left + right)
    syntax = parse(document, len(left))
    assert syntax is not None
    return breaks(document, Span(len(left), len(left)), new_text, syntax)


LONG_LIST = "NAMES = [\n" + '    "a",\n' * 6000 + '    "b"|,\n' + '    "c",\n' * 2000 + "]\n"


@pytest.mark.parametrize(("new_text", "breaking"), [(' "d"', False), (",", True), (", d", False), (")", True)])
def test_in_a_list_longer_than_the_window(new_text: str, breaking: bool) -> None:
    assert broken(LONG_LIST, new_text) is breaking


@pytest.mark.parametrize("new_text", ["f() = 1", "import a.b as c.d", "  x = 1"])
def test_pythons_own_parser_has_the_last_word(new_text: str) -> None:
    assert broken("def f():\n    |\n    return 1\n", new_text)


@pytest.mark.parametrize(("text", "new_text"), [("print 'old'\n|\n", "print 'older'"), ("x = (\n|\n", "f() = 1")])
def test_what_did_not_parse_is_not_broken(text: str, new_text: str) -> None:
    assert not broken(text, new_text)


def test_an_opened_body_breaks_and_a_whole_one_does_not() -> None:
    text = "function f() {\n  a();\n  |\n}\n"
    assert broken(text, "if (b) {", "javascript")
    assert not broken(text, "if (b) {\n    c();\n  }", "javascript")
