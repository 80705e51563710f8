"""From infill to suggestion, case by case (see fixtures/suggest/README.md), and its laws for any infill."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.code.document import Document
from dgls.code.indentation import unit
from dgls.code.languages import language_of
from dgls.code.syntax import Syntax, parse
from dgls.suggest.plan import Budget, Quiet, Region, plan
from dgls.suggest.suggestion import Rejection, Suggestion, suggest

FIXTURES = Path(__file__).parents[2] / "fixtures" / "suggest" / "suggestions"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FIXTURES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]


def planned(text: str, language: str, invoked: bool = False) -> tuple[Document, Syntax | None, Region]:
    left, right = text.split("<CURSOR>")
    document = Document("untitled:1", 1, language, left + right)
    syntax = parse(document, len(left))
    region = plan(document, len(left), Budget(), syntax, invoked=invoked)
    assert not isinstance(region, Quiet)
    return document, syntax, region


@pytest.mark.parametrize(("language", "case"), CASES)
def test_suggest_for_a_marked_case_gives_its_result_or_reason(language: str, case: dict[str, Any]) -> None:
    document, syntax, region = planned(case["text"], language, case.get("invoked", False))
    suggestion = suggest(document, region, case["infill"], 0.5, syntax)
    if "rejected" in case:
        assert suggestion is Rejection[case["rejected"]]
        return
    assert isinstance(suggestion, Suggestion)
    text, span = document.text, suggestion.span
    assert text[: span.start] + suggestion.new_text + "<END>" + text[span.end :] == case["result"]
    assert (suggestion.uri, suggestion.version, suggestion.confidence) == (document.uri, document.version, 0.5)


CODE = st.text(alphabet="ab (){}[]\"'`:;,=\n\r\t.\\#/\U0001f600\u2028", max_size=60)


@given(CODE, CODE, CODE, st.sampled_from(["python", "javascript", "go", "lua", "plaintext"]))
def test_suggest_for_any_infill_gives_an_edit_of_the_span_or_a_reason(
    left: str, right: str, infill: str, language: str
) -> None:
    document = Document("untitled:1", 1, language, left + right)
    region = plan(document, len(left), Budget(), invoked=True)
    assert isinstance(region, Region)
    suggestion = suggest(document, region, infill)
    if isinstance(suggestion, Suggestion):
        assert suggestion.span == region.span
        assert suggestion.new_text.strip()
        assert region.kind == "block" or "\n" not in suggestion.new_text


DGLS = Path(__file__).parents[2] / "dgls"
OWN_SOURCES = sorted(path for room in ("code", "suggest") for path in (DGLS / room).glob("[a-z]*.py"))
assert OWN_SOURCES, "the rooms that are read have moved"


@pytest.mark.parametrize("path", OWN_SOURCES, ids=lambda path: path.stem)
def test_suggest_for_the_right_code_changes_nothing(path: Path) -> None:
    """The rest of each line, from its first blank on, given back as the infill."""
    text = path.read_text(encoding="utf-8")
    lines = Document("untitled:1", 1, "python", text)
    for line in range(lines.line_count):
        code = lines.line_text(line).strip()
        if " " not in code:
            continue
        cursor, end = text.index(" ", text.index(code, lines.line_start(line))) + 1, lines.line_end(line)
        document = Document("untitled:1", 1, "python", text[:cursor] + text[end:])
        syntax = parse(document, cursor)
        region = plan(document, cursor, Budget(), syntax)
        if isinstance(region, Region):
            suggestion = suggest(document, region, text[cursor:end] + "\n", 1.0, syntax)
            assert isinstance(suggestion, Suggestion), (suggestion, code)
            assert suggestion.new_text == text[cursor:end]


def test_unit_deep_inside_a_table_is_one_tab() -> None:
    """All lines in sight are two tabs deep: a level is one of them, and one more is not doubled."""
    text = "\t\t(0, 1),\n" * 5 + "\t\t\n" + "\t\t(2, 3),\n" * 5
    document = Document("file:///a.py", 1, "python", "x = [\n" + text + "]\n")
    assert unit(document, 6, language_of("python", "")) == "\t"
    deep = Document("file:///a.py", 1, "python", text + "]\n")
    assert unit(deep, 5, language_of("python", "")) == "\t"
