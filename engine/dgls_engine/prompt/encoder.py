"""Which prompt is held: token ids against the keys and values in `diffusion_gemma.prompt_cache`.

While the user types inside the region the prompt stays the same and nothing is computed; when it changes, only the
tokens from the first changed one on, or all of them where that is further back than the sliding layers can go. Knows
token ids, not where they came from. Belongs to the engine thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import DynamicCache

from dgls_engine.errors import Cancelled
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.prompt_cache import PromptCache
from dgls_engine.model.memory import CHUNK, SLACK
from dgls_engine.types import CancelToken

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class Encoder:
    """Holds one prompt. `chunk` tokens are encoded between two looks at the cancel token; `capacity` is how many are
    expected at most: a longer prompt is held, too, but in other buffers. `slack` tokens at the prompt's end can change
    without all of it being encoded again: the lines beside the region, when it moves.

    A full-size model reads nearly all its experts for each chunk, so on a GPU chunks are long, but no longer than what
    is computed in the time of about one denoising step, since that is how soon a cancel should take effect.
    """

    def __init__(
        self,
        model: DiffusionGemmaForBlockDiffusion,
        chunk: int | None = None,
        capacity: int = 1024,
        slack: int = SLACK,
    ) -> None:
        self._model = model
        self._chunk = chunk or (CHUNK if model.device.type == "cuda" else 256)
        self._capacity, self._slack = capacity, slack
        self._ids: list[int] = []
        self._cache: PromptCache | None = None

    @property
    def ids(self) -> Sequence[int]:
        """The tokens whose keys and values are held."""
        return tuple(self._ids[: self.cache.tokens])

    @property
    def cache(self) -> PromptCache:
        """Where they are held. Another object after `drop`, and after a prompt that this one had no room for: who
        keeps addresses in it has to look whether it is still the same."""
        if self._cache is None:
            self._cache = PromptCache(self._model, self._capacity, slack=self._slack, chunk=self._chunk)
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
            self._extend(ids[start : start + self._chunk])
        return len(ids) - kept

    def seen(self) -> DynamicCache:
        """What the decoder sees of the prompt; valid until the next `prefill`."""
        return self.cache.seen()

    def drop(self) -> None:
        """Forget the prompt and free its memory."""
        self._cache, self._ids = None, []

    def _extend(self, ids: Sequence[int]) -> None:
        cache = self.cache
        start = cache.tokens
        masks = cache.make_room(len(ids))
        row = torch.tensor([list(ids)], device=self._model.device)
        decoder.encode(self._model, row, cache.states, masks, start)
        cache.hold(len(ids))


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts have in common at their start."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
