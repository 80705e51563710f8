"""What a hole starts from: the rest of the last draft where the text agrees with it, and else nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dgls.code.document import Document
from dgls.suggest.draft import SURE, Drafting, LastDraft
from dgls.suggest.plan import Budget, Region, plan
from dgls_engine.profile import HolePolicy, Profile
from dgls_engine.types import Fill, Finish, Infill, Piece, Step, Timings

PROFILE = Profile("raw", "pad", 256, max_prompt_tokens=256, before_tokens=96, after_tokens=64)
HEAD, TAIL = "x = ", "\nend()\n"


def drafting(typed: str, older: LastDraft | None = None, policy: HolePolicy = "pad", tail: str = TAIL) -> Drafting:
    """Of the hole behind so much typed text."""
    text = HEAD + typed + tail
    document = Document("untitled:1", len(text), "python", text)
    region = plan(document, len(HEAD + typed), Budget(), invoked=True)
    assert isinstance(region, Region)
    return Drafting(document, region, replace(PROFILE, hole_policy=policy), older)


def step(text: str, entropy: float = 0.0) -> Step:
    return Step(1, (Fill(text, (Piece(text, 1.0, entropy),), None, 1.0),), entropy)


def infill(text: str, finish: Finish = "stable") -> Infill:
    return Infill((Fill(text, (), 0.5, 0.5),), 1, finish, Timings(0.0, 0.0), 0, 0, 0, 0)


def filled(text: str) -> LastDraft | None:
    own = drafting("")
    own.end(infill(text), usable=True)
    return own.last


@pytest.mark.parametrize(
    ("typed", "start"),
    [
        ("", "foo(bar)"),
        ("f", "oo(bar)"),
        ("foo(ba", "r)"),
        ("foo()", None),  # the bracket is typed, what stands in it is not
        ("g", None),
        ("foo(bar)", None),
    ],
)
def test_the_rest_of_what_was_typed(typed: str, start: str | None) -> None:
    assert drafting(typed, filled("foo(bar)")).start == start


def test_a_bracket_that_the_editor_closed_is_left_out() -> None:
    assert drafting("foo(", filled("foo(bar)"), tail=")" + TAIL).start == "bar"


def test_nothing_where_something_else_changed_too() -> None:
    assert drafting("f", filled("foo(bar)"), tail=TAIL + "more = 1\n").start is None


def test_a_hole_of_one_line_takes_the_first_line_of_several() -> None:
    assert drafting("f", filled("foo(bar)\ny = 2")).start == "oo(bar)"
    assert drafting("f", filled("f\ny = 2")).start is None


def test_blanks_are_no_start() -> None:
    assert drafting("f", filled("f   ")).start is None


def test_the_start_is_what_the_next_one_goes_on_from_until_there_is_a_draft() -> None:
    second = drafting("f", filled("foo(bar)"))
    assert drafting("fo", second.last).start == "o(bar)"
    second.note(step("oob"))
    assert drafting("fo", second.last).start == "ob"


LEAST = SURE * PROFILE.confidence_threshold


@pytest.mark.parametrize(
    ("policy", "entropy", "start"),
    [("pad", LEAST, "oo"), ("pad", 1.01 * LEAST, None), ("batch", 0.0, None), ("fixed", 0.0, None)],
)
def test_of_a_fill_that_was_cut_short_only_sure_drafts_of_the_right_length_count(
    policy: HolePolicy, entropy: float, start: str | None
) -> None:
    own = drafting("", policy=policy)
    own.note(step("foo", entropy))
    assert drafting("f", own.last).start == start


@pytest.mark.parametrize("policy", ["pad", "batch", "fixed"])
@pytest.mark.parametrize(("finish", "start"), [("stable", "oo"), ("steps", None), ("deadline", None)])
def test_of_a_fill_that_ended_only_a_settled_one_counts(policy: HolePolicy, finish: Finish, start: str | None) -> None:
    own = drafting("", policy=policy)
    own.note(step("far", 0.0))
    own.end(infill("foo", finish), usable=True)
    assert drafting("f", own.last).start == start


def test_what_made_no_suggestion_does_not_count() -> None:
    own = drafting("")
    own.note(step("foo"))
    own.end(infill("foo"), usable=False)
    assert own.last is None


def test_a_draft_that_the_model_gave_up_does_not_come_back() -> None:
    own = drafting("f", filled("foo(bar)"))
    own.note(step("unsure", 10.0))
    assert own.last is None
