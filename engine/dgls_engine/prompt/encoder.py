"""Keeps one prompt: its token ids, and the model's keys and values for them.

While the user types inside the region, the prompt stays the same and nothing is computed. After a change, the encoder
computes the tokens from the first changed one on, or all tokens if the model cannot rewind that far. Knows token ids,
but no formats and no architecture. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch

from dgls_engine.errors import Cancelled
from dgls_engine.model.batches import shared_prefix
from dgls_engine.model.passes import KeptPrompt
from dgls_engine.types import CancelToken

K = TypeVar("K", bound=KeptPrompt)


class Encoder(Generic[K]):
    """Holds one prompt. `new_prompt(n)` makes an empty prompt with room for n tokens. `capacity` is the initial room; a
    longer prompt moves to larger buffers. A cancel takes effect between two chunks of the prompt.
    """

    def __init__(self, new_prompt: Callable[[int], K], capacity: int = 1024) -> None:
        self._new_prompt, self._capacity = new_prompt, capacity
        self._ids: list[int] = []
        self._cache: K | None = None

    @property
    def ids(self) -> Sequence[int]:
        """The tokens whose keys and values are in the cache."""
        return tuple(self._ids[: self.cache.tokens])

    @property
    def cache(self) -> K:
        """The keys and values. `drop` and a prompt that does not fit replace this object, so code that keeps the
        addresses of its buffers must check that it is still the same object."""
        if self._cache is None:
            self._cache = self._new_prompt(self._capacity)
        return self._cache

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int], cancel: CancelToken | None = None) -> int:
        """Make `ids` the prompt. Returns how many of them were computed.

        Raises `Cancelled` between two chunks. The next request can use the chunks computed so far; the same holds if
        memory runs out.
        """
        assert ids, "a prompt holds at least its special tokens"
        if len(ids) > self.cache.capacity:
            self._cache = self.cache.grown(max(len(ids), 2 * self.cache.capacity))
        kept = self.cache.crop(shared_prefix(self.ids, ids))
        self._ids = list(ids)
        while (start := self.cache.tokens) < len(ids):
            if cancel is not None and cancel.cancelled:
                raise Cancelled
            self.cache.extend(ids[start : start + self.cache.chunk])
        return len(ids) - kept

    def drop(self) -> None:
        """Forget the prompt and free its memory."""
        self._cache, self._ids = None, []
