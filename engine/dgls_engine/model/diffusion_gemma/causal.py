"""DiffusionGemma's encoder as an autoregressive language model: `family.Causal`, and the logits for its training.

The encoder is causal and shares its weights with the decoder and the head. Runs on the calling thread. Shapes: B batch,
n tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from dgls_engine.model.diffusion_gemma.decoder import encode, encoder_masks

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class CausalEncoder:
    def __init__(self, model: DiffusionGemmaForBlockDiffusion) -> None:
        self._model, self._cache = model, DynamicCache()

    @property
    def vocabulary(self) -> int:
        size: int = self._model.model.decoder.vocab_size
        return size

    @property
    def parameters(self) -> int:
        """All parameters except those of self-conditioning."""
        unused = self._model.model.decoder.self_conditioning.parameters()
        return sum(map(torch.numel, self._model.parameters())) - sum(map(torch.numel, unused))

    def read(self, ids: Sequence[int]) -> Tensor:
        start = self._cache.get_seq_length()
        row = torch.tensor([list(ids)], device=self._model.device)
        window = self._model.model.decoder.text_config.sliding_window
        masks = encoder_masks(start, start + len(ids), window, self._model.device)
        return uncapped_logits(self._model, encode(self._model, row, self._cache, masks, start)[0, -1])


def uncapped_logits(model: DiffusionGemmaForBlockDiffusion, hidden: Tensor) -> Tensor:
    """float32 logits [..., V] of hidden states [..., D]. The soft cap does not change which token is the likeliest, and
    it would take a third of a training step, because every token is a target."""
    raw: Tensor = model.lm_head(hidden)
    return raw.float()
