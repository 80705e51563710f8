"""The maximum length of a prompt: the profile's bound, reduced if memory or time is short.

    PromptBudget(4096, prefill_ms=1000).tokens      # 4096, until memory or time is short

Knows neither tensors nor a clock: its caller reports failed allocations and the times of prefills. The length changes
seldom and only by a factor of two, because after each change the model has to read the whole prompt again. Runs on the
engine thread.
"""

from __future__ import annotations

from collections import deque

FLOOR = 512
"""The smallest budget, in tokens: a shorter excerpt says little about a file."""

MIN_MEASURED = 256
"""The smallest prefill, in tokens, whose time is measured: that of a shorter one is mostly overhead."""

_RECENT, _ENOUGH = 4, 2
"""The fastest of the last `_RECENT` measurements counts, once there are `_ENOUGH` of them. Disturbances (compilation of
kernels, another program) only make a prefill slower."""

_EASE = 0.7
"""The budget grows only if the longer prefill takes at most this share of the time limit. Without this margin it would
switch back and forth."""


class PromptBudget:
    """`max_tokens` is the profile's bound. `prefill_ms` is the time limit for the prefill of a whole prompt; None: no
    limit."""

    def __init__(self, max_tokens: int, prefill_ms: float | None = None) -> None:
        self._lengths = [max_tokens]
        while self._lengths[-1] // 2 >= FLOOR:
            self._lengths.append(self._lengths[-1] // 2)
        self._prefill_ms = prefill_ms
        self._for_memory = self._for_time = 0
        self._readings: deque[float] = deque(maxlen=_RECENT)

    @property
    def tokens(self) -> int:
        return self._lengths[max(self._for_memory, self._for_time)]

    @property
    def measures(self) -> bool:
        """Whether the time of a prefill can change the budget."""
        return self._prefill_ms is not None and len(self._lengths) > 1

    def halve(self) -> bool:
        """Halve the budget because memory ran out. False if it is already the smallest."""
        now = max(self._for_memory, self._for_time)
        self._for_memory = min(now + 1, len(self._lengths) - 1)
        return self._for_memory > now

    def read(self, tokens: int, ms: float) -> None:
        """Record that the prefill of `tokens` took `ms`."""
        if self._prefill_ms is None or tokens < MIN_MEASURED:
            return
        self._readings.append(ms / tokens)
        if len(self._readings) < _ENOUGH:
            return
        token_ms, last = min(self._readings), len(self._lengths) - 1
        while self._for_time < last and token_ms * self._lengths[self._for_time] > self._prefill_ms:
            self._for_time += 1
        while self._for_time > 0 and token_ms * self._lengths[self._for_time - 1] <= _EASE * self._prefill_ms:
            self._for_time -= 1
