"""The length policies: the lengths that each one tries, and the hole whose lengths compete next."""

from __future__ import annotations

import pytest

from dgls_engine.text.length import Batch, Fixed, Length, Pad, ladder, length_policy, next_contest
from dgls_engine.types import Hole, Revise


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


ONE, SEVERAL = Hole(max_tokens=1), Hole(max_tokens=4)


@pytest.mark.parametrize(
    ("holes", "contested", "last"),
    [
        ([ONE, ONE], 0, True),
        ([SEVERAL, SEVERAL], 0, False),
        ([ONE, SEVERAL, ONE, SEVERAL], 1, False),
        ([ONE, ONE, SEVERAL], 2, True),
    ],
)
def test_next_contest_is_the_first_hole_with_several_lengths(holes: list[Hole], contested: int, last: bool) -> None:
    assert next_contest(holes, Batch()) == (contested, last)
    assert next_contest(holes, Pad()) == (0, True)
