"""Runs the cases in order and stores their outcomes; skips cases whose outcome is stored already.

The calling thread fills, as the engine is not thread-safe; pool threads wait for the processes that test the filled
programs. An outcome is stored once it and all before it are complete, so a run can be interrupted at any time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from dgls.evaluation.cases.case import Case, CaseOutcome
from dgls.evaluation.running.results import Results
from dgls.evaluation.running.run_case import Conditions, Count, as_typed, run_case
from dgls.suggest.exchange import Infiller

Passes = Callable[[str, str], bool]
"""Whether a program, the first, passes its tests, the second. Called on several threads at once."""

_WAITING = 4
"""Filled cases, for each job, that may wait for their tests before the engine pauses."""


def evaluate(
    engine: Infiller,
    cases: Sequence[Case],
    count: Count,
    conditions: Conditions,
    passes: Passes,
    results: Results,
    jobs: int = 1,
) -> Generator[CaseOutcome]:
    """One outcome for each case. Closing the iterator waits for running tests and cancels the rest."""
    known = dict(results.outcomes)
    waiting: deque[tuple[CaseOutcome, Future[bool] | None]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="tests") as pool:
        try:
            for case in cases:
                if case.id in known:
                    waiting.append((known[case.id], None))
                else:
                    outcome = run_case(engine, case, count, conditions)
                    waiting.append((outcome, _tested(case, outcome, passes, pool)))
                while waiting and (len(waiting) > _WAITING * jobs or _is_complete(*waiting[0])):
                    yield _kept(*waiting.popleft(), results)
            while waiting:
                yield _kept(*waiting.popleft(), results)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _tested(case: Case, outcome: CaseOutcome, passes: Passes, pool: ThreadPoolExecutor) -> Future[bool] | None:
    """The pending test. A case without a suggestion counts as failed: its program might pass with the hole empty."""
    if case.program is None:
        return None
    if outcome.rejected is not None:
        failed: Future[bool] = Future()
        failed.set_result(False)
        return failed
    typed = as_typed(case)
    return pool.submit(passes, typed.prefix + outcome.text + typed.suffix, case.program.tests)


def _is_complete(outcome: CaseOutcome, tested: Future[bool] | None) -> bool:
    return tested is None or tested.done()


def _kept(outcome: CaseOutcome, tested: Future[bool] | None, results: Results) -> CaseOutcome:
    if tested is not None:
        outcome = replace(outcome, passed=tested.result())
    if outcome.id not in results.outcomes:
        results.add(outcome)
    return outcome
