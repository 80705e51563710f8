"""Cases to outcomes, in the order of the cases: what the results hold already is taken from there.

One thread fills (the engine is one, and not thread-safe); meanwhile others wait for the children that run the filled
programs. An outcome is kept as soon as it is complete and all before it are, so a run may be cut off at any time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from dgls.evaluation.cases.case import Case, Outcome
from dgls.evaluation.running.attempt import Conditions, Count, Infiller, as_typed, attempt
from dgls.evaluation.running.results import Results

Passes = Callable[[str], bool]
"""Does the program of this source end well? Called on several threads at once."""

_WAITING = 4
"""Filled cases a job that may wait for their tests; the engine pauses for more."""


def evaluate(
    engine: Infiller,
    cases: Sequence[Case],
    count: Count,
    conditions: Conditions,
    passes: Passes,
    results: Results,
    jobs: int = 1,
) -> Generator[Outcome]:
    """One outcome a case. Closing the iterator waits for the tests that are running and drops those that are not."""
    known = dict(results.outcomes)
    waiting: deque[tuple[Outcome, Future[bool] | None]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="tests") as pool:
        try:
            for case in cases:
                if case.id in known:
                    waiting.append((known[case.id], None))
                else:
                    outcome = attempt(engine, case, count, conditions)
                    waiting.append((outcome, _tested(case, outcome, passes, pool)))
                while waiting and (len(waiting) > _WAITING * jobs or _is_complete(*waiting[0])):
                    yield _kept(*waiting.popleft(), results)
            while waiting:
                yield _kept(*waiting.popleft(), results)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _tested(case: Case, outcome: Outcome, passes: Passes, pool: ThreadPoolExecutor) -> Future[bool] | None:
    """A case without a suggestion leaves the program with its hole, which may well pass: it counts as failed."""
    if case.program is None:
        return None
    if outcome.rejected is not None:
        failed: Future[bool] = Future()
        failed.set_result(False)
        return failed
    typed = as_typed(case)
    return pool.submit(passes, case.program.source(typed.prefix + outcome.text + typed.suffix))


def _is_complete(outcome: Outcome, tested: Future[bool] | None) -> bool:
    return tested is None or tested.done()


def _kept(outcome: Outcome, tested: Future[bool] | None, results: Results) -> Outcome:
    if tested is not None:
        outcome = replace(outcome, passed=tested.result())
    if outcome.id not in results.outcomes:
        results.add(outcome)
    return outcome
