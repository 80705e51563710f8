"""Which functions are stubs: the cases of fixtures/stubs/README.md, and laws for any text."""

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
def test_stubs_case_equals_fixture(case: Case) -> None:
    document = case.document
    if case.offset is None:
        stubs = stubs_in(document)
    else:
        stub = stub_at(document, case.offset, parse(document, case.offset))
        stubs = () if stub is None else (stub,)
    assert tuple(document.text[stub.span.start : stub.span.end].strip() for stub in stubs) == case.replaces


@pytest.mark.parametrize("case", [case for case in CASES if case.offset is None], ids=lambda case: case.name)
def test_hints_at_stubs_case_with_stubs_is_true(case: Case) -> None:
    if case.replaces:
        assert may_hold_stubs(case.document)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stubs_in_given_tree_equals_own_parse(case: Case) -> None:
    syntax = parse(case.document, len(case.document.text) // 2)
    assert stubs_in(case.document, syntax) == stubs_in(case.document)
    assert may_hold_stubs(case.document, syntax) == may_hold_stubs(case.document)


def test_fixtures_stubs_cover_languages() -> None:
    assert len(CASES) >= 30
    assert len({case.document.language for case in CASES}) >= 8


def test_may_hold_stubs_complete_code_is_false() -> None:
    text = (
        'class A(B):\n    """Doc."""\n\n    x = {}\n\n    def f(self):\n        """Doc."""\n        # TODO: be fast\n'
    )
    text += "        try:\n            return g()\n        except C:\n            pass\n        return ...\n"
    assert not hints_at_stubs(Document("file:///a.py", 1, "python", text))
    script = "const a = {};\non(() => {});\n// TODO: be fast\nf();\nclass A implements B { f() { g(); } }\n"
    assert not hints_at_stubs(Document("file:///a.ts", 1, "typescript", script))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stub_at_each_of_stubs_in_equals_it(case: Case) -> None:
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
def test_stubs_any_text_lie_inside_document(text: str, language: str, offset: int) -> None:
    document = Document("untitled:1", 1, language, text)
    stubs = stubs_in(document)
    for stub in stubs:
        assert 0 <= stub.start <= stub.span.start <= stub.span.end <= len(text)
        assert not (stub.lead + stub.tail).strip()
    assert all(before.span.end <= after.span.start for before, after in pairwise(stubs))
    at = stub_at(document, offset, parse(document, min(max(0, offset), len(text))))
    if at is not None:
        assert 0 <= at.span.start <= at.span.end <= len(text)
