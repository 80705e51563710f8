"""Which prompt is held: token ids against the keys and values that a model keeps of them.

While the user types inside the region the prompt stays the same and nothing is computed. When it changes, the tokens
from the first changed one on are encoded, or all of them where the model can't rewind that far. Knows token ids, not
where they came from, and no architecture. Belongs to the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch

from dgls_engine.errors import Cancelled
from dgls_engine.model.passes import KeptPrompt
from dgls_engine.types import CancelToken

K = TypeVar("K", bound=KeptPrompt)


class Encoder(Generic[K]):
    """Holds one prompt. `keep` makes room for as many tokens as it is told; `capacity` is how many are expected at
    most: a longer prompt is held, too, but in other buffers. A cancel takes effect between two of the kept prompt's
    chunks.
    """

    def __init__(self, keep: Callable[[int], K], capacity: int = 1024) -> None:
        self._keep, self._capacity = keep, capacity
        self._ids: list[int] = []
        self._cache: K | None = None

    @property
    def ids(self) -> Sequence[int]:
        """The tokens whose keys and values are held."""
        return tuple(self._ids[: self.cache.tokens])

    @property
    def cache(self) -> K:
        """Where they are held. Another object after `drop`, and after a prompt that this one had no room for: who
        keeps addresses in it has to look whether it is still the same."""
        if self._cache is None:
            self._cache = self._keep(self._capacity)
        return self._cache

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int], cancel: CancelToken | None = None) -> int:
        """Make `ids` the prompt. Returns how many of them had to be computed.

        Raises `Cancelled` between two chunks; what is encoded by then is kept and right for the next request. So it
        is when memory runs out.
        """
        assert ids, "a prompt holds at least its special tokens"
        if len(ids) > self.cache.capacity:
            self._cache = self.cache.grown(max(len(ids), 2 * self.cache.capacity))
        kept = self.cache.crop(shared_prefix(self.ids, ids))
        self._ids = list(ids)
        while (start := self.cache.tokens) < len(ids):
            if cancel is not None and cancel.cancelled:
                raise Cancelled("the request was cancelled")
            self.cache.extend(ids[start : start + self.cache.chunk])
        return len(ids) - kept

    def drop(self) -> None:
        """Forget the prompt and free its memory."""
        self._cache, self._ids = None, []


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts have in common at their start."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
