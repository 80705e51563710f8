"""Decides when to stop denoising: the drafts are stable and the model is sure of them, or the request is at a limit.

Only hole positions count: the pinned positions' entropy is zero and would only dilute the mean. Plain
numbers, no tensors. One object serves one request, on the engine thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from dgls_engine.errors import EngineError
from dgls_engine.profile import Profile
from dgls_engine.types import Limits


class StableAndSure:
    """Stops when the draft equals those of the `stability` steps before and its mean entropy is below `confidence`.

    This is the rule of transformers' `StableAndConfidentStoppingCriteria`, limited to the rows that count: tokens
    behind a hole's end (its first PAD, its stop) never reach the user, so they need not settle. `counted` gives the
    rows that count, in ranges; without it all rows count. `resumed` is the draft that the holes start from, if any. It
    counts as a step, so a first step that confirms it can be the last.
    """

    def __init__(
        self,
        stability: int,
        confidence: float,
        counted: Callable[[Sequence[int]], Sequence[range]] | None = None,
        resumed: Sequence[int] | None = None,
    ) -> None:
        self._confidence = confidence
        self._counted = counted or (lambda draft: [range(len(draft))])
        self._recent: deque[list[tuple[int, int]]] = deque(maxlen=stability)
        if resumed is not None:
            self._recent.append(self._tokens(resumed))

    def settled(self, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        """Whether to stop after a step with these ids and entropies (nats) of the hole rows."""
        tokens = self._tokens(draft)
        stable = len(self._recent) == self._recent.maxlen and all(earlier == tokens for earlier in self._recent)
        self._recent.append(tokens)
        return stable and sum(entropies[row] for row, _ in tokens) < self._confidence * len(tokens)

    def _tokens(self, draft: Sequence[int]) -> list[tuple[int, int]]:
        return [(row, draft[row]) for row in chain.from_iterable(self._counted(draft))]


class Deadline:
    """A deadline `seconds` after the object is made, measured by `clock`. None: no deadline."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.now = clock
        self.end = None if seconds is None else clock() + seconds

    def strikes_within(self, seconds: float) -> bool:
        return self.end is not None and self.now() + seconds > self.end


@dataclass(frozen=True, slots=True)
class Schedule:
    """The temperature falls linearly from `t_max` at step 1 towards `t_min` at step `max_steps`."""

    max_steps: int
    t_min: float
    t_max: float

    def temperature(self, index: int) -> float:
        remaining = self.max_steps + 1 - index  # this step included: transformers' `cur_step`
        return self.t_min + (self.t_max - self.t_min) * remaining / self.max_steps


def deadline_of(limits: Limits, clock: Callable[[], float]) -> Deadline:
    """The deadline of a request. Raises `EngineError` if it is in the past."""
    if limits.deadline_ms is not None and limits.deadline_ms < 0:
        raise EngineError(f"a deadline is a number of milliseconds from now, not {limits.deadline_ms}")
    return Deadline(None if limits.deadline_ms is None else limits.deadline_ms / 1000, clock)


def schedule_of(limits: Limits, profile: Profile) -> Schedule:
    """The schedule of a request. Raises `EngineError` if the limits allow no step."""
    steps = profile.max_steps if limits.max_steps is None else limits.max_steps
    if steps < 1:
        raise EngineError(f"denoising takes at least 1 step, not {steps}")
    return Schedule(steps, profile.t_min, profile.t_max)
