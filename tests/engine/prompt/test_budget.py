"""The maximum length of a prompt if memory or time is short."""

from __future__ import annotations

import pytest

from dgls_engine.prompt.budget import FLOOR, MIN_MEASURED, PromptBudget


def read(budget: PromptBudget, *each_ms: float, tokens: int = 2048) -> list[int]:
    """The budget after each prefill; `each_ms` are the prefills' times for each token."""
    budgets = []
    for token_ms in each_ms:
        budget.read(tokens, token_ms * tokens)
        budgets.append(budget.tokens)
    return budgets


def test_budget_initially_is_the_profile_bound() -> None:
    assert PromptBudget(4096, prefill_ms=1).tokens == 4096


@pytest.mark.parametrize(
    ("most", "lengths"),
    [(4096, [4096, 2048, 1024, 512]), (3000, [3000, 1500, 750]), (1000, [1000]), (64, [64])],
)
def test_halve_repeated_stops_at_floor(most: int, lengths: list[int]) -> None:
    budget = PromptBudget(most)
    halved = [budget.tokens]
    while budget.halve():
        halved.append(budget.tokens)
    assert halved == lengths
    assert not budget.halve()
    assert budget.tokens == lengths[-1]


def test_budget_slow_prefill_shrinks_to_time_limit() -> None:
    assert read(PromptBudget(4096, 1000), 0.3, 0.3) == [4096, 2048]
    assert read(PromptBudget(4096, 1000), 40.0, 30.0) == [4096, FLOOR], "not below the floor, however slow"
    assert read(PromptBudget(4096, 1000), 0.2, 0.2, 0.2) == [4096] * 3


def test_budget_one_slow_measurement_changes_nothing() -> None:
    assert read(PromptBudget(4096, 1000), 9.0, 0.2, 9.0, 9.0, 9.0) == [4096] * 5
    assert read(PromptBudget(4096, 1000), 0.2, 9.0, 9.0, 9.0, 9.0) == [4096] * 4 + [FLOOR], (
        "four in a row are no accident"
    )


def test_budget_varying_speed_does_not_oscillate() -> None:
    """The machine's speed varies by a tenth around the time limit."""
    budget = PromptBudget(4096, 1000)
    just = 1000 / 4096
    found = read(budget, *[just * (1.1 if turn % 2 else 1.0) for turn in range(20)])
    assert len(set(found)) == 1
    budget = PromptBudget(4096, 1000)
    found = read(budget, *[just * (1.15 if turn % 5 else 1.02) for turn in range(20)])
    assert found == [4096] + [2048] * 19


def test_budget_faster_prefill_grows_again() -> None:
    budget = PromptBudget(4096, 1000)
    assert read(budget, 0.9, 0.9)[-1] == 1024
    assert read(budget, 0.3) == [2048], "in the eased time, and not at once to what would just fit"
    assert read(budget, 0.17) == [4096]


def test_budget_short_prefill_or_no_limit_is_not_measured() -> None:
    assert read(PromptBudget(4096, 1000), *[50.0] * 9, tokens=MIN_MEASURED - 1) == [4096] * 9
    assert read(PromptBudget(4096), *[50.0] * 9) == [4096] * 9
    assert [PromptBudget(*given).measures for given in ((4096, 1000), (4096, None), (64, 1000))] == [True, False, False]


def test_budget_memory_and_time_takes_the_smaller() -> None:
    budget = PromptBudget(4096, 1000)
    assert read(budget, 0.3, 0.3)[-1] == 2048
    assert budget.halve()
    assert budget.tokens == 1024, "what was too much was the shortened one"
    assert read(budget, 0.01) == [1024], "time is no remedy for memory"
