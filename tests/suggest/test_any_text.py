"""Planning for a text that nobody meant: in any language, at any place, it ends, soon, with a plan or a reason."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.code.document import Document
from dgls.code.languages import FALLBACK, LANGUAGES, Language
from dgls.code.syntax import parse
from dgls.suggest.plan import Budget, Region, plan
from tests.fuzzing import fuzzed

ALL = (*LANGUAGES, FALLBACK)
BUDGETS = st.builds(Budget, continues=st.booleans())
SECONDS = 2.0
"""Of computing, for 100,000 characters. Where time grows with the square it takes minutes."""
LONG = 100_000
UNITS = (
    "\n",
    " ",
    "\t",
    "(",
    ")",
    "{",
    "}",
    '"',
    "'",
    "`",
    "\\",
    "#",
    "/",
    "<",
    "-",
    ":",
    "é",
    "😀",
    "\ud800",
    "\0",
    "a ",
)


def marks(language: Language) -> list[str]:
    """What the language's table gives a meaning, and what any language does."""
    quotes = [mark for quote in language.quotes for mark in (quote.start, quote.end)]
    blocks = [mark for pair in language.block_comments for mark in pair]
    return [
        mark for mark in (*UNITS, "x", "\r\n", "\r", "\f", "\u2028", *language.line_comments, *blocks, *quotes) if mark
    ]


def texts(language: Language) -> st.SearchStrategy[str]:
    """Bytes of any kind, any characters, and the language's marks in any order."""
    of_bytes = st.binary(max_size=80).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    any_text = st.text(st.characters(codec=None), max_size=60)
    return of_bytes | any_text | st.lists(st.sampled_from(marks(language)), max_size=40).map("".join)


def planned(text: str, offset: int, language: Language, budget: Budget, invoked: bool) -> None:
    document = Document("untitled:1", 1, language.id, text)
    region = plan(document, offset, budget, parse(document, offset), invoked=invoked)
    if isinstance(region, Region):
        replaced = text[region.span.start : region.span.end]
        assert region.above + region.before + replaced + region.after + region.below == text
    else:
        assert not invoked


@fuzzed()
@given(st.data(), st.sampled_from(ALL), BUDGETS, st.booleans())
def test_plan_of_any_text_in_any_language_ends(
    data: st.DataObject, language: Language, budget: Budget, invoked: bool
) -> None:
    text = data.draw(texts(language))
    planned(text, data.draw(st.integers(-1, len(text) + 1)), language, budget, invoked)


@fuzzed(each=50)
@given(st.data(), st.sampled_from(ALL), BUDGETS, st.booleans())
def test_plan_of_a_long_text_takes_linear_time(
    data: st.DataObject, language: Language, budget: Budget, invoked: bool
) -> None:
    unit = "".join(data.draw(st.lists(st.sampled_from(marks(language)), min_size=1, max_size=4)))
    text = (unit * (LONG // len(unit) + 1))[:LONG]
    begun = time.thread_time()
    planned(text, data.draw(st.sampled_from((0, LONG // 2, LONG))), language, budget, invoked)
    assert time.thread_time() - begun < SECONDS, (language.id, unit)


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_plan_of_one_mark_repeated_takes_linear_time(unit: str) -> None:
    text = (unit * LONG)[:LONG]
    for language in ALL:
        for invoked in (False, True):
            begun = time.thread_time()
            planned(text, LONG, language, Budget(continues=True), invoked)
            assert time.thread_time() - begun < SECONDS, (language.id, invoked)
