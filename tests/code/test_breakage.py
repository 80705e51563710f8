"""Edits that break code are found, even where the tree around the cursor cannot tell."""

import pytest

from dgls.code import breakage
from dgls.code.breakage import Breakage
from dgls.code.document import Document, Span
from dgls.code.statement import statements_around
from dgls.code.syntax import parse


def broken(text: str, new_text: str, language: str = "python") -> bool:
    left, right = text.split("|")
    document = Document("untitled:1", 1, language, left + right)
    syntax = parse(document, len(left))
    assert syntax is not None
    return Breakage(document, Span(len(left), len(left)), syntax).by(new_text)


LONG_LIST = "NAMES = [\n" + '    "a",\n' * 6000 + '    "b"|,\n' + '    "c",\n' * 2000 + "]\n"


@pytest.mark.parametrize(("new_text", "breaking"), [(' "d"', False), (",", True), (", d", False), (")", True)])
def test_breakage_in_a_list_longer_than_the_window_is_found(new_text: str, breaking: bool) -> None:
    assert broken(LONG_LIST, new_text) is breaking


@pytest.mark.parametrize("new_text", ["f() = 1", "import a.b as c.d", "  x = 1"])
def test_breakage_that_only_python_rejects_is_found(new_text: str) -> None:
    assert broken("def f():\n    |\n    return 1\n", new_text)


@pytest.mark.parametrize(("text", "new_text"), [("print 'old'\n|\n", "print 'older'"), ("x = (\n|\n", "f() = 1")])
def test_breakage_of_code_that_does_not_parse_is_none(text: str, new_text: str) -> None:
    assert not broken(text, new_text)


@pytest.mark.parametrize(
    "text", ["class E:\n    pass|\n", "class E:\n    pass|\nx = 1\n", "def f():\n    pass|\n    return 1\n"]
)
def test_breakage_by_a_backslash_above_nothing_is_found(text: str) -> None:
    assert broken(text, "\\")
    assert not broken(text, "; x = 1 + \\\n        2")


def test_breakage_by_a_body_depends_on_its_end() -> None:
    text = "function f() {\n  a();\n  |\n}\n"
    assert broken(text, "if (b) {", "javascript")
    assert not broken(text, "if (b) {\n    c();\n  }", "javascript")


@pytest.mark.parametrize(
    ("new_text", "breaking"),
    [
        ('f"{d["a)"]}"', False),
        ('f"{d["a"]} {g(f"{x}", "b")}"', False),
        ('f"{d["a"}"', True),
        ('f"a" "b" c', True),
    ],
)
def test_breakage_by_quotes_inside_an_fstring_is_none(new_text: str, breaking: bool) -> None:
    assert broken("f(|)\n", new_text) is breaking


@pytest.mark.parametrize(
    ("text", "new_text", "breaking"),
    [
        ("def f(n):\n\t|\n\nf(1)\n", "print('a')\n    print('b')", True),
        ("def f(n):\n\t|\n\nf(1)\n", "print('a')", False),
        ("def f(n):\n    |\n\nf(1)\n", "x = = 1\n    y = 2", True),
        ("def f(n):\n    |\n\nf(1)\n", "x = n)", True),
        ("def f(n):\n    if |\n\nf(1)\n", "n > 3", False),
        ("def f(n):\n    |\n\nf(1)\n", "if n:", False),
    ],
)
def test_breakage_of_an_unfinished_line_is_what_nothing_behind_it_removes(
    text: str, new_text: str, breaking: bool
) -> None:
    assert broken(text, new_text) is breaking


FAR = "def far():\n    return 1\n\n\n" * 5000  # longer than what is ever parsed at once


@pytest.mark.parametrize(
    ("text", "new_text", "breaking"),
    [
        ("def f():\n    |\n    return 1\n", "f() = 1", True),
        ("def f():\n    |\n    return 1\n", "print 'old'", True),
        ("def f():\n    |\n    return 1\n", "x = 1", False),
        ("if a:\n    b()\n|\nelse:\n    c()\n", "d()", True),
        ("if a:\n    b()\n|\n", "else:\n    c()", False),
        ("|\ndef f(): ...\n", "@cache", False),
        ("class A:\n    def f(self): ...\n\n    |\n\n    def g(self): ...\n", "import a.b as c.d", True),
        ("class A:\n    def f(self): ...\n\n    |\n\n    def g(self): ...\n", "h = f", False),
        ("print 'old'\n|\n", "print 'older'", False),
    ],
)
def test_breakage_in_a_long_file_is_that_in_a_short_one(text: str, new_text: str, breaking: bool) -> None:
    assert broken(FAR + text + "\n\n" + FAR, new_text) is breaking
    assert broken(text, new_text) is breaking


def test_breakage_that_the_statements_around_tell_parses_no_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    judge = breakage._is_python

    def seen(text: str) -> bool:
        lengths.append(len(text))
        return judge(text)

    monkeypatch.setattr(breakage, "_is_python", seen)
    assert broken(FAR[:50_000] + "\n\n\ndef f():\n    |\n    return 1\n\n\n" + FAR[:40_000], "print 'old'")
    assert lengths
    assert max(lengths) < 2000


@pytest.mark.parametrize(("below", "breaking"), [("x = 1\n", True), ("def f(): ...\n", False), ("", True)])
def test_statements_around_a_decorator_parse_only_above_a_definition(below: str, breaking: bool) -> None:
    text = f"a = 1\n|\n{below}"
    document = Document("untitled:1", 1, "python", text.replace("|", ""))
    statements = statements_around(document, Span(6, 6), parse(document, 6))  # type: ignore[arg-type]
    assert statements is not None
    assert breakage._is_python(statements.text("@cache")) is not breaking
