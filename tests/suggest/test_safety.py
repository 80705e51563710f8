"""A suggestion is safe for any fill, over all marked cases and over holes in the packages kept for evaluation.

A suggestion repeats nothing of the code after it, breaks no file that parsed, and is indented as the file is.
"""

import ast
import random
import tomllib
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_sitter import Parser

from bench.silence import read_cases
from dgls.code.document import Document
from dgls.code.indentation import indentation, unit
from dgls.code.languages import language_of
from dgls.code.parsing import grammar_of
from dgls.code.syntax import parse
from dgls.evaluation.running.repetition import repeats_after
from dgls.suggest.plan import Budget, Region, plan
from dgls.suggest.suggestion import Rejection, Suggestion, suggest
from tests.suggest.holes import cut_holes, fills

FIXTURES = Path(__file__).parents[2] / "fixtures" / "suggest" / "suggestions"
HOLES = cut_holes(500, seed=0)


def is_sound(document: Document) -> bool:
    """Does the whole file parse, by the grammar and, if it is Python, by Python?"""
    language = language_of(document.language, document.uri)
    grammar = grammar_of(language)
    if grammar is not None and Parser(grammar).parse(document.text.encode()).root_node.has_error:
        return False
    if language.id != "python":
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(document.text)
    except (SyntaxError, ValueError):
        return False
    return True


def faults(document: Document, offset: int, fill: str, answer: str = "") -> list[str]:
    """What is wrong with what would be shown of `fill`; nothing if it is not shown at all."""
    syntax = parse(document, offset)
    region = plan(document, offset, Budget(), syntax, invoked=True)
    assert isinstance(region, Region)
    suggestion = suggest(document, region, fill, 1.0, syntax)
    if isinstance(suggestion, Rejection):
        return []
    text, span = document.text, suggestion.span
    left, right = text[: span.start], text[span.end :]
    filled = Document(document.uri, 2, document.language, left + suggestion.new_text + right)
    wrong = []
    if repeats_after(left, suggestion.new_text, right, answer, language_of(document.language, document.uri)):
        wrong.append("repeats what follows")
    if is_sound(document) and not is_sound(filled):
        wrong.append("breaks what parsed")
    if not is_indented_alike(document, region, suggestion):
        wrong.append("is indented unlike the file")
    return wrong


def is_indented_alike(document: Document, region: Region, suggestion: Suggestion) -> bool:
    line = document.line_at(region.span.start)
    left = document.text[document.line_start(line) : region.span.start]
    tab_or_spaces = unit(document, line, language_of(document.language, document.uri))
    other = "\t" if tab_or_spaces != "\t" else "    "
    lines = (left + suggestion.new_text).split(document.newline)
    return not any(other in indentation(line) for line in lines[not left.isspace() :])


@pytest.mark.parametrize("part", range(10))
def test_suggest_for_held_out_holes_is_safe(part: int) -> None:
    chance = random.Random(part)
    shown_as_it_was = 0
    for hole in HOLES[part::10]:
        document, offset = Document("file:///a.py", 1, "python", hole.left + hole.right), len(hole.left)
        answer, *others = fills(hole.answer, hole.right, chance.choice(HOLES).answer, chance)
        for name, fill in (answer, *chance.sample(others, 3)):
            assert faults(document, offset, fill, hole.answer) == [], (name, hole.left[-80:], fill, hole.right[:80])
        syntax = parse(document, offset)
        region = plan(document, offset, Budget(), syntax, invoked=True)
        assert isinstance(region, Region)
        suggestion = suggest(document, region, hole.answer, 1.0, syntax)
        shown_as_it_was += isinstance(suggestion, Suggestion) and hole.answer.strip().startswith(
            suggestion.new_text.strip()
        )
    assert shown_as_it_was >= 40  # of 50: what is safe because nothing is shown is of no use


CASES = [
    pytest.param(case.document, case.offset, case.infill or "x", id=case.name)
    for case in read_cases()
    if "no person" not in case.name
] + [
    pytest.param(
        Document("untitled:1", 1, path.stem, case["text"].replace("<CURSOR>", "")),
        case["text"].index("<CURSOR>"),
        case["infill"],
        id=f"suggestions of {path.stem}: {case['name']}",
    )
    for path in sorted(FIXTURES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]


@pytest.mark.parametrize(("document", "offset", "infill"), CASES)
def test_suggest_for_marked_cases_is_safe(document: Document, offset: int, infill: str) -> None:
    chance = random.Random(0)
    for name, fill in fills(infill, document.text[offset:], chance.choice(HOLES).answer, chance):
        assert faults(document, offset, fill, infill) == [], (name, fill)


FRAGMENTS = [
    "x",
    "foo",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "=",
    " ",
    "\n",
    "    ",
    "\t",
    '"',
    "'",
    "#",
    "return x",
]
FRAGMENTS += ["if x:", "def f():", "else:", "function g() {", "\\", "//", "`", ";"]


@settings(max_examples=300)
@given(st.integers(0, len(CASES) - 1), st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join))
def test_suggest_for_any_fill_of_a_case_is_safe(index: int, fill: str) -> None:
    document, offset, _ = CASES[index].values
    assert isinstance(document, Document)
    assert isinstance(offset, int)
    assert faults(document, offset, fill) == []
