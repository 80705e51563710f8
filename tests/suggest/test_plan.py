"""The planner's laws: for any text, the parts join to it, fit their budgets, and stay put while the user types."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.code.document import Document
from dgls.code.syntax import parse
from dgls.code.window import estimate_tokens
from dgls.suggest.exchange import request_of, suggestion_of
from dgls.suggest.plan import Budget, Region, plan
from dgls.suggest.suggestion import Suggestion
from dgls_engine import Fill, Hole, Infill, Limits, Pinned
from dgls_engine.calibration import Calibration
from dgls_engine.profile import Profile
from dgls_engine.types import Timings

LANGUAGES = st.sampled_from(["python", "javascript", "rust", "yaml", "plaintext"])
TEXT = st.text(alphabet="ab (){}[]\"'`:;#/\n\r\t\f\u2028\u00e9\U0001f600", max_size=120) | st.text(max_size=60)
BUDGETS = st.builds(Budget, before_tokens=st.integers(1, 20), after_tokens=st.integers(1, 20))


def region_at(text: str, offset: int, language: str = "python", budget: Budget | None = None) -> Region:
    document = Document("untitled:1", 3, language, text)
    syntax = parse(document, offset)
    region = plan(document, offset, budget or Budget(), syntax, invoked=True)
    assert isinstance(region, Region)
    return region


@given(TEXT, st.integers(-1, 130), LANGUAGES, BUDGETS)
def test_plan_of_any_text_gives_parts_that_join_to_it(text: str, offset: int, language: str, budget: Budget) -> None:
    region = region_at(text, offset, language, budget)
    replaced = text[region.span.start : region.span.end]
    assert region.above + region.before + replaced + region.after + region.below == text
    assert not replaced.strip()
    assert len(region.above + region.before) == region.span.start


@given(TEXT, st.integers(0, 130), LANGUAGES, BUDGETS)
def test_plan_of_any_text_keeps_to_the_budgets(text: str, offset: int, language: str, budget: Budget) -> None:
    region = region_at(text, offset, language, budget)
    assert estimate_tokens(region.before) <= budget.before_tokens
    assert estimate_tokens(region.after) <= budget.after_tokens


@given(TEXT, st.integers(0, 130), BUDGETS)
def test_plan_with_another_counter_keeps_to_the_budgets(text: str, offset: int, budget: Budget) -> None:
    region = plan(Document("untitled:1", 1, "python", text), offset, budget, invoked=True, count=len)
    assert isinstance(region, Region)
    assert len(region.before) <= budget.before_tokens
    assert len(region.after) <= budget.after_tokens


def method(number: int) -> str:
    return f"    def method_{number}(self, value):\n        if value > {number}:\n            return None\n\n"


FILE = "import os\n\n\nclass Thing:\n" + "".join(map(method, range(40))) + "\n\ndef last():\n    pass\n"


def typing(head: str, typed: str, tail: str) -> list[Region]:
    return [region_at(head + typed[:length] + tail, len(head) + length) for length in range(len(typed) + 1)]


@pytest.mark.parametrize("number", range(5, 25))
def test_plan_while_typing_a_line_moves_no_border(number: int) -> None:
    at = FILE.index(f"    def method_{number}(")
    regions = typing(FILE[:at] + "        ", "found = self.find(value, other=[1, 2]) + 'text'", "\n" + FILE[at:])
    assert len({(region.above, region.below) for region in regions}) == 1
    assert regions[0].above
    assert regions[0].below


def test_plan_while_typing_functions_moves_borders_rarely() -> None:
    at = FILE.index("    def method_20(")
    typed = "".join(map(method, range(100, 104)))
    regions = typing(FILE[:at], typed, FILE[at:])
    moves = sum(old.above != new.above for old, new in pairwise(regions))
    assert moves <= 6  # four methods of 90 characters go by; a slot holds 72
    assert len({region.below for region in regions}) == 1


@pytest.mark.parametrize("tokens", [24, 44, 96])
def test_plan_while_typing_moves_no_border_back(tokens: int) -> None:
    """However long a line gets: a border that goes to and fro makes the engine read its prompt twice."""
    at = FILE.index("    def method_20(")
    typed = "    def sort(self):\n        return sorted(self.values, key=lambda value: value.account_number)\n\n"
    budget = Budget(tokens, tokens)
    regions = [
        region_at(FILE[:at] + typed[:length] + FILE[at:], at + length, budget=budget) for length in range(len(typed))
    ]
    assert all(len(old.above) <= len(new.above) for old, new in pairwise(regions))
    assert len({region.below for region in regions}) == 1


def test_plan_in_a_class_puts_borders_before_definitions() -> None:
    at = FILE.index("    def method_20(") - 1
    region = region_at(FILE, at, budget=Budget(before_tokens=160, after_tokens=160))  # a slot holds a method
    assert region.before.startswith("    def method_")
    assert region.below.startswith("    def method_")


def test_plan_in_a_long_file_uses_at_least_a_quarter_of_the_budget() -> None:
    region = region_at(FILE, FILE.index("    def method_20("))
    assert estimate_tokens(region.before) >= Budget().before_tokens // 4
    assert estimate_tokens(region.after) >= Budget().after_tokens // 4


@pytest.mark.parametrize(("lines", "kind", "stop"), [(1, "line", "\n"), (3, "block", None)])
def test_plan_with_max_lines_chooses_line_or_block_by_it(lines: int, kind: str, stop: str | None) -> None:
    document = Document("untitled:1", 1, "python", "x = \n")
    region = plan(document, 4, Budget(), max_lines=lines)
    assert isinstance(region, Region)
    assert (region.kind, region.stop, region.max_lines) == (kind, stop, lines)


@pytest.mark.parametrize("typed", ["", "  ", "    "])
@pytest.mark.parametrize("pin", [True, False])
def test_plan_first_line_of_a_body_pins_the_missing_indent(typed: str, pin: bool) -> None:
    text = f'def f(x):\n    """Double it."""\n{typed}\n    return x\n'
    document = Document("a.py", 0, "python", text)
    offset = text.index("\n    return")
    region = plan(document, offset, Budget(continues=pin), parse(document, offset), invoked=True)
    assert isinstance(region, Region)
    assert region.lead == ("    "[len(typed) :] if pin else "")
    request = request_of(region, "a.py", "python", Limits(), 0)
    assert request.segments[0] == Pinned(region.before + region.lead)
    infill = Infill((Fill("x *= 2", (), None, 1.0),), 1, "stable", Timings(0.0, 0.0), 1, 1, 1, 1)
    suggestion = suggestion_of(document, region, infill, Calibration())
    assert isinstance(suggestion, Suggestion)
    assert suggestion.new_text == "    "[len(typed) :] + "x *= 2"


@pytest.mark.parametrize(
    ("text", "invoked", "expected"),
    [
        ("def f(x):\n    |\n    return x\n", False, ("line", "\n", 1, "")),
        ("def f(x):\n    |\n    return x\n", True, ("block", None, 12, "    ")),
        ("def f(x):|\n", True, ("block", None, 12, "    ")),
        ("x = 1 + |\n", True, ("line", "\n", 1, "")),
        ("\tif (x) {|\n", True, ("block", None, 12, "\t")),  # the bracket that closes the body may be missing
    ],
)
def test_plan_for_a_model_that_continues_fills_a_block_if_invoked(
    text: str, invoked: bool, expected: tuple[str, str | None, int, str]
) -> None:
    offset = text.index("|")
    document = Document("a.py", 0, "c" if "{" in text else "python", text.replace("|", ""))
    syntax = parse(document, offset)
    region = plan(document, offset, Budget.of(Profile("plain", "fixed", 64, 448, 1, 0)), syntax, invoked=invoked)
    assert isinstance(region, Region)
    assert (region.kind, region.stop, region.max_lines, region.least_indent) == expected
    hole = request_of(region, "a.py", "python", Limits(), 0).segments[1]
    assert isinstance(hole, Hole)
    assert hole.indent == region.least_indent
    other = plan(document, offset, Budget(), syntax, invoked=True)
    assert isinstance(other, Region)
    assert other.least_indent == ""
