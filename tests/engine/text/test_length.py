"""The length policies: the lengths that each one tries, and the holes that are filled together."""

from __future__ import annotations

import pytest

from dgls_engine.loop.turns import next_turn
from dgls_engine.text.length import Batch, Fixed, Length, Pad, ladder, length_policy
from dgls_engine.types import Hole, Pinned, Revise


def test_ladder_has_all_short_lengths_then_steps_of_a_quarter() -> None:
    assert ladder(Hole(max_tokens=32)) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18, 22, 27, 32]
    assert ladder(Hole(min_tokens=3, max_tokens=5)) == [3, 4, 5]
    assert ladder(Hole(min_tokens=7, max_tokens=7)) == [7]
    assert ladder(Hole(min_tokens=0, max_tokens=2)) == [1, 2]
    assert len(ladder(Hole(max_tokens=256))) < 32


def test_tries_only_batch_tries_several_lengths() -> None:
    hole = Hole(min_tokens=2, max_tokens=5, stop="\n")
    assert Pad().tries(hole) == Fixed().tries(hole) == (hole,)
    tried = Batch().tries(hole)
    assert [(own.min_tokens, own.max_tokens, own.stop) for own in tried] == [(n, n, "\n") for n in (2, 3, 4, 5)]
    assert [Batch().positions(own, None) for own in tried] == [2, 3, 4, 5]
    drafted = Hole(max_tokens=5, start=Revise("value", 1.0))
    assert Batch().tries(drafted) == (drafted,)
    assert Batch().positions(drafted, 7) == 7


@pytest.mark.parametrize(("bounds", "guess"), [((1, 32), 8), ((1, 4), 4), ((0, 1), 1), ((12, 32), 12)])
def test_batch_positions_before_turn_are_a_guess(bounds: tuple[int, int], guess: int) -> None:
    assert Batch().positions(Hole(*bounds), None) == guess


@pytest.mark.parametrize(("name", "policy"), [("pad", Pad), ("batch", Batch), ("fixed", Fixed)])
def test_length_policy_by_name_returns_its_class(name: str, policy: type[Length]) -> None:
    assert isinstance(length_policy(name), policy)  # type: ignore[arg-type]


FIRST, SECOND = Hole(max_tokens=2), Hole(min_tokens=2, max_tokens=4)
DRAFTED = Hole(start=Revise("x", 1.0))


def test_turns_without_contest_fill_all_holes_at_once() -> None:
    segments = (Pinned("a"), FIRST, Pinned("b"), SECOND)
    turn = next_turn(segments, {}, Pad())
    assert turn.tries == (segments,)
    assert turn.holes == turn.settles == (0, 1)


def test_turns_holes_with_contest_take_turns() -> None:
    segments = (Pinned("a"), FIRST, Pinned("b"), SECOND, Pinned("c"))
    turn = next_turn(segments, {}, Batch())
    assert [tried[1] for tried in turn.tries] == [Hole(1, 1), Hole(2, 2)]
    assert all(tried[3] == SECOND for tried in turn.tries)
    assert (turn.holes, turn.contested, turn.settles) == ((0, 1), 0, (0,))
    turn = next_turn(segments, {0: "text"}, Batch())
    assert all(tried[:3] == (Pinned("a"), Pinned("text"), Pinned("b")) for tried in turn.tries)
    assert [tried[3] for tried in turn.tries] == [Hole(n, n) for n in (2, 3, 4)]
    assert (turn.holes, turn.contested, turn.settles) == ((1,), 0, (1,))


def test_turns_last_contest_includes_drafted_holes() -> None:
    turn = next_turn((DRAFTED, Pinned("a"), FIRST, Pinned("b"), DRAFTED), {}, Batch())
    assert (turn.holes, turn.contested, turn.settles) == ((0, 1, 2), 1, (0, 1, 2))
    assert [tried[2] for tried in turn.tries] == [Hole(1, 1), Hole(2, 2)]
