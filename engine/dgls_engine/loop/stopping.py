"""When to stop denoising: the drafts are stable and the model is sure of them, or a limit of the request is reached.

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
    """Stops when the draft equalled those of the `stability` steps before and mean entropy is under `confidence`.

    The rule of transformers' `StableAndConfidentStoppingCriteria`, but over what counts of a draft: what stands
    behind a hole's end (its first PAD, its stop) never reaches the user, so it need not settle. `counted` names
    those rows, in ranges; without it all rows count. `resumed` is a draft from before the first step, if there is one:
    a step that says the same again, and is sure of it, is the last.
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
        """Takes one step's ids and entropies (nats) of the hole rows."""
        tokens = self._tokens(draft)
        stable = len(self._recent) == self._recent.maxlen and all(earlier == tokens for earlier in self._recent)
        self._recent.append(tokens)
        return stable and sum(entropies[row] for row, _ in tokens) < self._confidence * len(tokens)

    def _tokens(self, draft: Sequence[int]) -> list[tuple[int, int]]:
        return [(row, draft[row]) for row in chain.from_iterable(self._counted(draft))]


class Deadline:
    """`seconds` from its making, by `clock`; None: never."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.now = clock
        self.end = None if seconds is None else clock() + seconds

    def strikes_within(self, seconds: float) -> bool:
        return self.end is not None and self.now() + seconds > self.end


@dataclass(frozen=True, slots=True)
class Schedule:
    """Linear temperature: `t_max` at the first step, falling towards `t_min`. Steps ascend from 1 to `max_steps`."""

    max_steps: int
    t_min: float
    t_max: float

    def temperature(self, index: int) -> float:
        remaining = self.max_steps + 1 - index  # this step included: transformers' `cur_step`
        return self.t_min + (self.t_max - self.t_min) * remaining / self.max_steps


def deadline_of(limits: Limits, clock: Callable[[], float]) -> Deadline:
    """Raises `EngineError` for a deadline in the past."""
    if limits.deadline_ms is not None and limits.deadline_ms < 0:
        raise EngineError(f"a deadline is a number of milliseconds from now, not {limits.deadline_ms}")
    return Deadline(None if limits.deadline_ms is None else limits.deadline_ms / 1000, clock)


def schedule_of(limits: Limits, profile: Profile) -> Schedule:
    """Raises `EngineError` where no step would be taken."""
    steps = profile.max_steps if limits.max_steps is None else limits.max_steps
    if steps < 1:
        raise EngineError(f"denoising takes at least 1 step, not {steps}")
    return Schedule(steps, profile.t_min, profile.t_max)
