"""What is a stub and what is none, case by case, and its laws for any text. See fixtures/stubs/README.md."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgls.change.stubs.finding import may_hold_stubs, stub_at, stubs_in
from dgls.change.stubs.hints import hints_at_stubs
from dgls.code.document import Document
from dgls.code.languages import LANGUAGES
from dgls.code.syntax import parse
from tests.change.stubs import Case, read_cases

CASES = list(read_cases())
IDS = [language.id for language in LANGUAGES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case(case: Case) -> None:
    document = case.document
    if case.offset is None:
        found = stubs_in(document)
    else:
        stub = stub_at(document, case.offset, parse(document, case.offset))
        found = () if stub is None else (stub,)
    assert tuple(document.text[stub.span.start : stub.span.end].strip() for stub in found) == case.replaces


@pytest.mark.parametrize("case", [case for case in CASES if case.offset is None], ids=lambda case: case.name)
def test_a_look_at_the_text_misses_no_stub(case: Case) -> None:
    if case.replaces:
        assert may_hold_stubs(case.document)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_tree_at_hand_spares_the_parsing_alone(case: Case) -> None:
    syntax = parse(case.document, len(case.document.text) // 2)
    assert stubs_in(case.document, syntax) == stubs_in(case.document)
    assert may_hold_stubs(case.document, syntax) == may_hold_stubs(case.document)


def test_the_cases_are_many() -> None:
    assert len(CASES) >= 30
    assert len({case.document.language for case in CASES}) >= 8


def test_a_look_at_the_text_spares_most_files_the_offer() -> None:
    text = (
        'class A(B):\n    """Doc."""\n\n    x = {}\n\n    def f(self):\n        """Doc."""\n        # TODO: be fast\n'
    )
    text += "        try:\n            return g()\n        except C:\n            pass\n        return ...\n"
    assert not hints_at_stubs(Document("file:///a.py", 1, "python", text))
    script = "const a = {};\non(() => {});\n// TODO: be fast\nf();\nclass A implements B { f() { g(); } }\n"
    assert not hints_at_stubs(Document("file:///a.ts", 1, "typescript", script))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_stubs_of_a_file_are_stubs_at_the_cursor(case: Case) -> None:
    for stub in stubs_in(case.document):
        at = stub.span.start
        assert stub_at(case.document, at, parse(case.document, at)) == stub
        assert stub_at(case.document, stub.start, parse(case.document, stub.start)) is not None


ALPHABET = "ab(){}[]:;,=.#/*\"'`!<>|-\n\r\t \f\u2028\U0001f600é"
WORDS = [
    "def f():",
    "    pass",
    "\n",
    "\r\n",
    "    ",
    "\t",
    "function f() {",
    "}",
    "# TODO",
    "// TODO",
    "/* TODO",
    "*/",
]
WORDS += ["throw new Error('TODO')", "todo!()", "class A:", "end", "...", "😀", '"""', "raise NotImplementedError"]
WORDS += ["fn f() {", "def f", "return 0", "=> {}", "f() {", ";", "<?php ", "\r", "int f(int a)"]
TEXTS = st.text(ALPHABET, max_size=40) | st.lists(st.sampled_from(WORDS), max_size=14).map("".join)


@settings(max_examples=400)
@given(TEXTS, st.sampled_from([*IDS, "zig", "javascriptreact"]), st.integers(-1, 80))
def test_any_text(text: str, language: str, offset: int) -> None:
    document = Document("untitled:1", 1, language, text)
    found = stubs_in(document)
    for stub in found:
        assert 0 <= stub.start <= stub.span.start <= stub.span.end <= len(text)
        assert not (stub.lead + stub.tail).strip()
    assert all(before.span.end <= after.span.start for before, after in pairwise(found))
    at = stub_at(document, offset, parse(document, min(max(0, offset), len(text))))
    if at is not None:
        assert 0 <= at.span.start <= at.span.end <= len(text)
