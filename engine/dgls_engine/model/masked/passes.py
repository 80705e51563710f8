"""Passes over canvases of a masked model: its `model.passes.Passes` and its `family.OpenModel`.

A canvas row sees the prompt, itself, and every decided row of its canvas on both sides. A row with the mask token is
undecided, and no other row sees it. Row i predicts token i + 1, as in the autoregressive model, so a canvas begins with
a pinned token. Knows tensors, no text; runs on the engine thread. Shapes: B canvases, C canvas, R rows of all canvases,
D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dgls_engine.model.batches import Places, sent
from dgls_engine.model.masked.layers import CausalPrompt
from dgls_engine.model.masked.skeleton import MASK_ROW


class PlainHead:
    """A `model.passes.Head` without a soft cap and without a signal."""

    cap: float | None = None

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def device(self) -> torch.device:
        device: torch.device = self._model.device
        return device

    def raw(self, hidden: Tensor) -> Tensor:
        raw: Tensor = self._model.lm_head(hidden)
        return raw

    def logits(self, hidden: Tensor) -> Tensor:
        return self.raw(hidden).float()

    def signal(self, logits: Tensor) -> None:
        return None

    def mean(self, probabilities: Tensor) -> None:
        return None


class Nothing:
    """An empty `model.passes.Carry`: a step changes only the canvases' ids."""

    def kept(self, batch: Tensor, width: int) -> Nothing:
        return self

    def next(self, rows: Places, signal: Tensor | None) -> Nothing:
        return self


class MaskedPasses:
    """Passes over canvases behind the current tokens of `prompt`."""

    def __init__(self, model: Any, prompt: CausalPrompt, mask: int) -> None:
        self._model, self._prompt, self._mask = model, prompt, mask
        self.head = PlainHead(model)
        self.device: torch.device = model.device
        self.asynchronous = model.device.type == "cuda"

    def start(self, ids: Tensor, rows: Places, drafted: Tensor) -> Nothing:
        return Nothing()

    def judging(self, ids: Tensor, unseen: Places) -> Nothing:
        return Nothing()

    def run(self, ids: Tensor, carry: Nothing, lengths: Sequence[int], rows: Places) -> Tensor:
        undecided = ids == self._mask
        embedded = self._model.model.embed_tokens(ids)
        if (mask_embedding := getattr(self._model.model, MASK_ROW, None)) is not None:
            embedded = torch.where(undecided[..., None], mask_embedding.to(embedded.dtype), embedded)
        with self._model.switch.turned_on():
            hidden = self._prompt.through(embedded, self._attention_mask(undecided, lengths))
        canvas, position = rows
        normed: Tensor = self._model.model.norm(hidden[canvas, position - 1])
        return normed

    def _attention_mask(self, undecided: Tensor, lengths: Sequence[int]) -> Tensor:
        """bool [B, 1, C, prompt + C], True where a row sees a key."""
        batch, width = undecided.shape
        position = torch.arange(width, device=undecided.device)
        inside = position < sent(torch.tensor(lengths), undecided.device)[:, None]
        seen = (inside & ~undecided)[:, None, :] | torch.eye(width, dtype=torch.bool, device=undecided.device)
        return torch.cat([seen.new_ones(batch, width, self._prompt.tokens), seen], dim=-1)[:, None]


class OpenMasked:
    """A masked model with its weights. Canvases have at most `canvas_tokens` rows."""

    captures = False
    shifted = True

    def __init__(self, model: Any, mask: int, canvas_tokens: int) -> None:
        self._model, self._canvas = model, canvas_tokens
        self.mask = mask
        self.vocabulary: int = model.config.vocab_size

    def new_prompt(self, capacity: int) -> CausalPrompt:
        return CausalPrompt(self._model, capacity, self._canvas)

    def passes_after(self, prompt: CausalPrompt) -> MaskedPasses:
        return MaskedPasses(self._model, prompt, self.mask)

    def prepare(self, prompt: CausalPrompt, batch: int, tokens: int) -> None:
        """Nothing is captured."""

    def forget(self) -> None:
        """Nothing is held."""


class CausalBase:
    """A `family.Causal`: the model without its adapter."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._prompt = CausalPrompt(model, 1024, 0)
        self.vocabulary: int = model.config.vocab_size

    @property
    def parameters(self) -> int:
        named = self._model.named_parameters()
        return sum(weight.numel() for name, weight in named if "lora_" not in name and MASK_ROW not in name)

    def read(self, ids: Sequence[int]) -> Tensor:
        end = self._prompt.tokens + len(ids)
        if end > self._prompt.capacity:
            self._prompt = self._prompt.grown(2 * end)
        hidden = self._prompt.read(ids)[-1]
        self._prompt.tokens = end
        logits: Tensor = self._model.lm_head(self._model.model.norm(hidden))
        return logits.float()
