"""A run yields outcomes in the order of its cases, makes each once, and can be interrupted anywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dgls.evaluation.cases.case import CaseOutcome
from dgls.evaluation.running.results import Results
from dgls.evaluation.running.run import evaluate
from dgls.evaluation.running.run_case import Conditions
from dgls_engine import CancelToken, Infill, InfillRequest, Step
from tests.evaluation.made_up import HEADER, case
from tests.evaluation.test_run_case import Parrot

CASES = [case(str(n), tested=n % 2 == 0) for n in range(12)]
RIGHT = "    return a + b"


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Results]:
    with Results(tmp_path / "results.jsonl", HEADER) as results:
        yield results


def outcomes(
    engine: Parrot, results: Results, passes: Callable[[str, str], bool], jobs: int = 1
) -> Iterator[CaseOutcome]:
    return evaluate(engine, CASES, len, Conditions(), passes, results, jobs)


def right(source: str, tests: str) -> bool:
    exec(source + tests.split("\n", 1)[1], {"print": lambda *_: None})
    return True


@pytest.mark.parametrize("jobs", [1, 3])
def test_evaluate_yields_outcomes_in_order_with_test_results(results: Results, jobs: int) -> None:
    yielded = list(outcomes(Parrot(RIGHT), results, right, jobs))
    assert [each.id for each in yielded] == [each.id for each in CASES]
    assert [each.passed for each in yielded] == [True if each.program else None for each in CASES]
    assert list(results.outcomes.values()) == yielded


def test_evaluate_tests_ending_out_of_order_yields_in_order(results: Results) -> None:
    last = threading.Event()

    def passes(source: str, tests: str) -> bool:
        """The first waits for the third."""
        nonlocal started
        with lock:
            started += 1
            mine = started
        if mine == 3:
            last.set()
        return last.wait(30) if mine == 1 else True

    started, lock = 0, threading.Lock()
    yielded = list(outcomes(Parrot(RIGHT), results, passes, jobs=3))
    assert [each.id for each in yielded] == [each.id for each in CASES]
    assert all(each.passed in (True, None) for each in yielded)


def test_evaluate_rejected_fill_fails_without_running(results: Results) -> None:
    def passes(source: str, tests: str) -> bool:
        raise AssertionError("an empty fill was run")

    yielded = list(outcomes(Parrot("\n"), results, passes))
    assert [each.passed for each in yielded] == [False if each.program else None for each in CASES]


def test_evaluate_existing_results_resumes(results: Results) -> None:
    first = Parrot(RIGHT)
    stream = outcomes(first, results, right)
    half = [next(stream) for _ in range(5)]
    stream.close()
    kept = list(results.outcomes)
    assert kept[:5] == [each.id for each in half]
    second = Parrot(RIGHT)
    assert [each.id for each in outcomes(second, results, right)] == [each.id for each in CASES]
    assert len(second.asked) == len(CASES) - len(kept)
    third = Parrot("never asked")
    assert [each.text for each in outcomes(third, results, right)] == [RIGHT] * len(CASES)
    assert third.asked == []


class Interrupted(Parrot):
    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        if len(self.asked) == 7:
            raise KeyboardInterrupt
        return super().infill(request, cancel)


def test_evaluate_interrupt_keeps_complete_outcomes(results: Results) -> None:
    yielded: list[CaseOutcome] = []
    with pytest.raises(KeyboardInterrupt):
        yielded.extend(iter(outcomes(Interrupted(RIGHT), results, right)))
    assert 0 < len(results.outcomes) <= 7
    assert list(results.outcomes) == [str(n) for n in range(len(results.outcomes))]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tests")]
