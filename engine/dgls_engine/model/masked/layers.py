"""The prompt's keys and values, and the forward pass of prompt tokens and canvas rows through the layers.

The buffers have room for a canvas behind the prompt: a pass over one canvas writes its keys there, without a copy. The
next pass overwrites them, because only prompt tokens count as held. Knows rows, neither masks nor adapters; runs on the
engine thread. Shapes: B canvases, n rows, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

CHUNK = 256
"""The number of prompt tokens that are read together. A cancel takes effect between two chunks."""


class KeptLayer:
    """`keys` and `values` [1, heads, rows, dim] of one layer."""

    def __init__(self, prompt: CausalPrompt, heads: int, rows: int, width: int, like: Tensor) -> None:
        self._prompt = prompt
        self.keys, self.values = (like.new_zeros(1, heads, rows, width) for _ in range(2))

    def update(self, keys: Tensor, values: Tensor, *rest: object, **named: object) -> tuple[Tensor, Tensor]:
        """transformers' attention passes the states [B, heads, n, dim] of rows behind the prompt, and attends to the
        returned ones."""
        start, end = self._prompt.tokens, self._prompt.tokens + keys.shape[-2]
        if len(keys) > 1:
            prompt = (states[..., :start, :].expand(len(keys), -1, -1, -1) for states in (self.keys, self.values))
            return tuple(torch.cat(pair, dim=-2) for pair in zip(prompt, (keys, values), strict=True))  # type: ignore[return-value]
        self.keys[..., start:end, :], self.values[..., start:end, :] = keys, values
        return self.keys[..., :end, :], self.values[..., :end, :]


class CausalPrompt:
    """A `model.passes.KeptPrompt` that can rewind to any length. `canvas`: additional rows for a canvas at the end."""

    chunk = CHUNK

    @torch.inference_mode(False)  # a buffer made in inference mode cannot be written outside of it
    def __init__(self, model: Any, capacity: int, canvas: int) -> None:
        config = model.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.capacity, self.tokens = capacity, 0
        self._model, self._canvas = model, canvas
        self._layers = [
            KeptLayer(self, config.num_key_value_heads, capacity + canvas, width, model.model.embed_tokens.weight)
            for _ in model.model.layers
        ]
        self._states = Cache(layers=list[Any](self._layers))

    def crop(self, length: int) -> int:
        assert length <= self.tokens
        self.tokens = length
        return length

    def extend(self, ids: Sequence[int]) -> None:
        assert len(ids) <= self.chunk
        assert self.tokens + len(ids) <= self.capacity
        self.read(ids)
        self.tokens += len(ids)

    def read(self, ids: Sequence[int]) -> Tensor:
        """Hidden states [n, D], before the last norm, of tokens behind the prompt. `tokens` does not count them yet."""
        row = torch.tensor([list(ids)], device=self._model.device)
        start, count = self.tokens, len(ids)
        keys = torch.arange(start + count, device=row.device)
        causal = keys <= keys[start:, None]
        return self.through(self._model.model.embed_tokens(row), causal[None, None])[0]

    def through(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Hidden states [B, n, D], before the last norm, of rows behind the prompt. `mask`, bool [B or 1, 1, n,
        tokens + n], is True where a row sees a key."""
        body = self._model.model
        positions = torch.arange(self.tokens, self.tokens + embedded.shape[1], device=embedded.device)[None]
        rotary = body.rotary_emb(embedded, positions)
        hidden = embedded
        for layer in body.layers:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_embeddings=rotary,
                position_ids=positions,
                past_key_values=self._states,
                use_cache=True,
            )
        return hidden

    def grown(self, capacity: int) -> CausalPrompt:
        other = CausalPrompt(self._model, capacity, self._canvas)
        for new, old in zip(other._layers, self._layers, strict=True):
            for target, source in ((new.keys, old.keys), (new.values, old.values)):
                target[..., : self.tokens, :] = source[..., : self.tokens, :]
        other.tokens = self.tokens
        return other
