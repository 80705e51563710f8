"""Quiet where a suggestion would annoy, and a suggestion where one is wanted: see fixtures/silence/README.md."""

import pytest

from bench.silence import Case, is_right, read_cases, share, shown
from dgls.code.document import Document
from dgls.code.syntax import parse
from dgls.suggest.plan import Budget, Quiet, Region, plan
from dgls.suggest.quiet import RULES

CASES = list(read_cases())
PARAMETERS = [
    pytest.param(case, id=case.name, marks=[pytest.mark.xfail(reason=case.known_miss)] if case.known_miss else [])
    for case in CASES
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_quiet_in_a_marked_case_is_right(case: Case) -> None:
    assert is_right(case), shown(case)


def test_quiet_over_all_cases_reaches_its_rates() -> None:
    for_none, for_one = ([case for case in CASES if case.wanted is wanted] for wanted in (False, True))
    assert min(len(for_none), len(for_one)) >= 120
    assert len({case.document.language for case in CASES}) >= 25
    assert share([is_right(case) for case in for_none]) >= 0.97
    assert share([is_right(case) for case in for_one]) >= 0.93


@pytest.mark.parametrize("case", [case for case in CASES if not case.wanted], ids=lambda case: case.name)
def test_plan_when_invoked_is_never_quiet(case: Case) -> None:
    syntax = parse(case.document, case.offset)
    region = plan(case.document, case.offset, Budget(), syntax, invoked=True, deleted=True)
    assert isinstance(region, Region)


def test_quiet_rules_give_every_reason_that_the_code_around_the_cursor_tells() -> None:
    assert len(dict(RULES)) == len(RULES)
    assert dict(RULES).keys() == set(Quiet) - {Quiet.DELETED, Quiet.MAGIC, Quiet.LANGUAGE}


@pytest.mark.parametrize(
    ("language", "text", "known", "wanted"),
    [
        ("ruby", "total = ", ("python",), False),
        ("ruby", "total = ", ("python", "ruby"), True),
        ("ruby", "total = ", (), True),
        ("javascriptreact", "const total = ", ("javascript",), True),
        ("html", "<script>\nconst total = ", ("javascript",), True),
        ("html", "<script>\nconst total = ", ("html",), False),
    ],
)
def test_plan_in_a_language_unknown_to_the_model_is_quiet_unless_invoked(
    language: str, text: str, known: tuple[str, ...], wanted: bool
) -> None:
    document, budget = Document("untitled:1", 1, language, text), Budget(languages=known)
    syntax = parse(document, len(text))
    planned = plan(document, len(text), budget, syntax)
    assert (planned is not Quiet.LANGUAGE) == wanted
    assert isinstance(plan(document, len(text), budget, syntax, invoked=True), Region)


def test_quiet_below_unicode_separators_still_finds_the_line() -> None:
    text = "// a\u2028\u2028        b\nconst first = 1;\nconst value = first\n    .second();\n"
    document = Document("untitled:1", 1, "javascript", text)
    offset = text.index("\n    .")
    assert plan(document, offset, Budget(), parse(document, offset)) is Quiet.COMPLETE


def test_plan_after_a_deletion_is_quiet() -> None:
    document = Document("untitled:1", 1, "python", "x = ")
    assert plan(document, 4, Budget(), deleted=True) is Quiet.DELETED
    assert isinstance(plan(document, 4, Budget()), Region)


@pytest.mark.parametrize(
    ("marked", "complete"),
    [
        ("x = f(1)|", True),
        ("x = f(1|", False),
        ("x = f(1) |", False),
        ("x = 1|", True),
        ("x = 0xff|", True),
        ("x = other|", False),  # a word may go on
        ("other = x\nx = other|", True),
        ("x = 1 +|", False),
        ("x = |f(1)", True),
        ("x = f|(1)", True),
        ("x: |int", True),
        ("x|: int", True),
        ("f(x.|)", False),
        ("f(oth|)", False),
        ("y = x\nf(x|)", True),
        ("f(|\n  1,\n)", True),
        ("f(|\n)", False),
        ("f(\n  1,|\n  2\n)", True),
        ("f(\n  1,|\n)", True),
        ("f(1,|\ng()", False),
        ("x = 1 + \\|\n2", True),
        ("List<int>|", True),
        ("a >|", False),
    ],
)
def test_quiet_without_a_grammar_goes_by_the_line(marked: str, complete: bool) -> None:
    left, right = marked.split("|")
    region = plan(Document("untitled:1", 1, "zig", left + right), len(left), Budget())
    assert (region is Quiet.COMPLETE) is complete
