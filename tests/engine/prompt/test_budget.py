"""How long a prompt may be when memory or time is short."""

from __future__ import annotations

import pytest

from dgls_engine.prompt.budget import FLOOR, MIN_MEASURED, PromptBudget


def read(budget: PromptBudget, *each_ms: float, tokens: int = 2048) -> list[int]:
    """The budget after each reading of so many ms a token."""
    found = []
    for each in each_ms:
        budget.read(tokens, each * tokens)
        found.append(budget.tokens)
    return found


def test_nothing_is_short_at_first() -> None:
    assert PromptBudget(4096, prefill_ms=1).tokens == 4096


@pytest.mark.parametrize(
    ("most", "lengths"),
    [(4096, [4096, 2048, 1024, 512]), (3000, [3000, 1500, 750]), (1000, [1000]), (64, [64])],
)
def test_memory_that_runs_out_halves_it_down_to_a_floor(most: int, lengths: list[int]) -> None:
    budget = PromptBudget(most)
    found = [budget.tokens]
    while budget.halve():
        found.append(budget.tokens)
    assert found == lengths
    assert not budget.halve()
    assert budget.tokens == lengths[-1]


def test_prompt_is_cut_until_all_of_it_is_read_in_time() -> None:
    assert read(PromptBudget(4096, 1000), 0.3, 0.3) == [4096, 2048]
    assert read(PromptBudget(4096, 1000), 40.0, 30.0) == [4096, FLOOR], "not below the floor, however slow"
    assert read(PromptBudget(4096, 1000), 0.2, 0.2, 0.2) == [4096] * 3


def test_one_disturbed_reading_moves_nothing() -> None:
    assert read(PromptBudget(4096, 1000), 9.0, 0.2, 9.0, 9.0, 9.0) == [4096] * 5
    assert read(PromptBudget(4096, 1000), 0.2, 9.0, 9.0, 9.0, 9.0) == [4096] * 4 + [FLOOR], (
        "four in a row are no accident"
    )


def test_budget_does_not_go_back_and_forth() -> None:
    """The machine's speed wavers by a tenth around what is just enough."""
    budget = PromptBudget(4096, 1000)
    just = 1000 / 4096
    found = read(budget, *[just * (1.1 if turn % 2 else 1.0) for turn in range(20)])
    assert len(set(found)) == 1
    budget = PromptBudget(4096, 1000)
    found = read(budget, *[just * (1.15 if turn % 5 else 1.02) for turn in range(20)])
    assert found == [4096] + [2048] * 19


def test_it_grows_again_when_the_machine_is_free() -> None:
    budget = PromptBudget(4096, 1000)
    assert read(budget, 0.9, 0.9)[-1] == 1024
    assert read(budget, 0.3) == [2048], "in the eased time, and not at once to what would just fit"
    assert read(budget, 0.17) == [4096]


def test_few_tokens_tell_nothing_and_nothing_is_measured_where_nothing_can_change() -> None:
    assert read(PromptBudget(4096, 1000), *[50.0] * 9, tokens=MIN_MEASURED - 1) == [4096] * 9
    assert read(PromptBudget(4096), *[50.0] * 9) == [4096] * 9
    assert [PromptBudget(*given).measures for given in ((4096, 1000), (4096, None), (64, 1000))] == [True, False, False]


def test_the_shorter_of_both_counts() -> None:
    budget = PromptBudget(4096, 1000)
    assert read(budget, 0.3, 0.3)[-1] == 2048
    assert budget.halve()
    assert budget.tokens == 1024, "what was too much was the shortened one"
    assert read(budget, 0.01) == [1024], "time is no remedy for memory"
