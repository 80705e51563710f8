"""A hole starts from the rest of the last draft if the text agrees with it, else from noise."""

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
    drafts = drafting("")
    drafts.end(infill(text), usable=True)
    return drafts.last


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
def test_drafting_after_typing_starts_from_the_rest(typed: str, start: str | None) -> None:
    assert drafting(typed, filled("foo(bar)")).start == start


def test_drafting_before_an_auto_closed_bracket_leaves_it_out() -> None:
    assert drafting("foo(", filled("foo(bar)"), tail=")" + TAIL).start == "bar"


def test_drafting_after_another_edit_starts_from_noise() -> None:
    assert drafting("f", filled("foo(bar)"), tail=TAIL + "more = 1\n").start is None


def test_drafting_of_one_line_starts_from_the_first_line() -> None:
    assert drafting("f", filled("foo(bar)\ny = 2")).start == "oo(bar)"
    assert drafting("f", filled("f\ny = 2")).start is None


def test_drafting_with_a_blank_rest_starts_from_noise() -> None:
    assert drafting("f", filled("f   ")).start is None


def test_drafting_before_its_first_step_keeps_its_start() -> None:
    second = drafting("f", filled("foo(bar)"))
    assert drafting("fo", second.last).start == "o(bar)"
    second.note(step("oob"))
    assert drafting("fo", second.last).start == "ob"


LEAST = SURE * PROFILE.confidence_threshold


@pytest.mark.parametrize(
    ("policy", "entropy", "start"),
    [("pad", LEAST, "oo"), ("pad", 1.01 * LEAST, None), ("batch", 0.0, None), ("fixed", 0.0, None)],
)
def test_note_of_a_step_keeps_only_a_sure_draft_of_known_length(
    policy: HolePolicy, entropy: float, start: str | None
) -> None:
    drafts = drafting("", policy=policy)
    drafts.note(step("foo", entropy))
    assert drafting("f", drafts.last).start == start


@pytest.mark.parametrize("policy", ["pad", "batch", "fixed"])
@pytest.mark.parametrize(("finish", "start"), [("stable", "oo"), ("steps", None), ("deadline", None)])
def test_end_of_a_fill_keeps_only_a_stable_one(policy: HolePolicy, finish: Finish, start: str | None) -> None:
    drafts = drafting("", policy=policy)
    drafts.note(step("far", 0.0))
    drafts.end(infill("foo", finish), usable=True)
    assert drafting("f", drafts.last).start == start


def test_end_of_an_unusable_fill_keeps_nothing() -> None:
    drafts = drafting("")
    drafts.note(step("foo"))
    drafts.end(infill("foo"), usable=False)
    assert drafts.last is None


def test_note_of_an_unsure_draft_drops_the_older_one() -> None:
    drafts = drafting("f", filled("foo(bar)"))
    drafts.note(step("unsure", 10.0))
    assert drafts.last is None
