"""The prompt's keys and values, kept between requests.

While the user types inside the region the prompt stays the same and nothing is computed; when it changes, only
the tokens from the first changed one on. Every layer keeps all of the prompt, sliding ones too, so that the cache
can be cropped anywhere; the masks give the sliding layers their window. Knows token ids, not where they came from.
Belongs to the engine thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import DynamicCache

from engine import decoder
from engine.errors import Cancelled
from engine.types import CancelToken

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class Encoder:
    """Holds one prompt. `chunk` tokens are encoded between two looks at the cancel token."""

    def __init__(self, model: DiffusionGemmaForBlockDiffusion, chunk: int = 256) -> None:
        self._model = model
        self._chunk = chunk
        self._window: int = model.model.decoder.text_config.sliding_window
        self._ids: list[int] = []
        self._cache = DynamicCache()

    @property
    def ids(self) -> Sequence[int]:
        """The tokens whose keys and values are held."""
        return tuple(self._ids)

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int], cancel: CancelToken | None = None) -> int:
        """Make `ids` the prompt. Returns how many of them had to be computed.

        Raises `Cancelled` between two chunks; what is encoded by then is kept and right for the next request.
        """
        assert ids, "a prompt holds at least its special tokens"
        self._crop(shared_prefix(self._ids, ids))
        computed = len(ids) - len(self._ids)
        while len(self._ids) < len(ids):
            if cancel is not None and cancel.cancelled:
                raise Cancelled("the request was cancelled")
            self._extend(ids[len(self._ids) : len(self._ids) + self._chunk])
        return computed

    @torch.inference_mode()
    def seen(self) -> DynamicCache:
        """What the decoder sees of the prompt; valid until the next `prefill`."""
        return decoder.within_reach(self._model, self._cache)

    def _extend(self, ids: Sequence[int]) -> None:
        start = len(self._ids)
        row = torch.tensor([list(ids)], device=self._model.device)
        masks = decoder.encoder_masks(start, start + len(ids), self._window, row.device)
        try:
            decoder.encode(self._model, row, self._cache, masks, start)
        except BaseException:  # some layers may have grown and others not
            self._cache, self._ids = DynamicCache(), []
            raise
        self._ids.extend(ids)

    def _crop(self, length: int) -> None:
        """Keep the first `length` tokens."""
        if length == 0:
            self._cache = DynamicCache()
        elif length < len(self._ids):
            self._cache.crop(length - len(self._ids))
        del self._ids[length:]


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts have in common at their start."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
