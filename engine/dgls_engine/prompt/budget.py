"""How long a prompt may be: what the profile says, less what memory and time don't allow.

    PromptBudget(4096, prefill_ms=1000).tokens      # 4096, until something is short

It knows no tensors and no clock: it is told what ran out and how long prefills took. It moves by halves only, and
seldom, because each move makes the model read the whole prompt again. Belongs to the engine thread.
"""

from __future__ import annotations

from collections import deque

FLOOR = 512
"""Tokens to which a longer prompt is never shortened: less of a file says little about it."""

TELLING = 256
"""Tokens read at once from which on their time says how fast the model reads; that of fewer is mostly overhead."""

_RECENT, _ENOUGH = 4, 2
"""Of so many readings the fastest counts, once there are so many. What disturbs one (kernels that are compiled, another
program) makes it slower and never faster."""

_EASE = 0.7
"""A longer prompt must be read in this share of the time before it is allowed again. One that was just given up
would take all of it, so the budget doesn't go back and forth."""


class PromptBudget:
    """`most` tokens is the profile's bound; `prefill_ms` is how long reading all of a prompt may take, None: as long
    as it takes."""

    def __init__(self, most: int, prefill_ms: float | None = None) -> None:
        self._lengths = [most]
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
        """Does it matter how long a prefill takes?"""
        return self._prefill_ms is not None and len(self._lengths) > 1

    def halve(self) -> bool:
        """Memory ran out with a prompt of at most `tokens`. False if it can't be shorter."""
        now = max(self._for_memory, self._for_time)
        self._for_memory = min(now + 1, len(self._lengths) - 1)
        return self._for_memory > now

    def read(self, tokens: int, ms: float) -> None:
        """So many tokens of a prompt were read at once, in so much time."""
        if self._prefill_ms is None or tokens < TELLING:
            return
        self._readings.append(ms / tokens)
        if len(self._readings) < _ENOUGH:
            return
        each, last = min(self._readings), len(self._lengths) - 1
        while self._for_time < last and each * self._lengths[self._for_time] > self._prefill_ms:
            self._for_time += 1
        while self._for_time > 0 and each * self._lengths[self._for_time - 1] <= _EASE * self._prefill_ms:
            self._for_time -= 1
