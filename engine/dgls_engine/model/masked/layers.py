"""The prompt's keys and values, and the layers that canvas rows and prompt tokens go through.

Buffers have room for a canvas behind the prompt: a pass over one canvas writes its keys there and copies nothing. They
count as held only for prompt tokens. Knows rows, neither masks nor adapters; belongs to the engine thread. Shapes: B
canvases, n rows, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

CHUNK = 256
"""Prompt tokens that are read together: a cancel takes effect between two chunks."""


class KeptLayer:
    """`keys` and `values` [1, heads, rows, dim] of one layer."""

    def __init__(self, prompt: CausalPrompt, heads: int, rows: int, width: int, like: Tensor) -> None:
        self._prompt = prompt
        self.keys, self.values = (like.new_zeros(1, heads, rows, width) for _ in range(2))

    def update(self, keys: Tensor, values: Tensor, *rest: object, **named: object) -> tuple[Tensor, Tensor]:
        """transformers' attention writes the states [B, heads, n, dim] of rows behind the prompt, and attends to those
        that come back."""
        start, end = self._prompt.tokens, self._prompt.tokens + keys.shape[-2]
        if len(keys) > 1:
            before = (held[..., :start, :].expand(len(keys), -1, -1, -1) for held in (self.keys, self.values))
            return tuple(torch.cat(pair, dim=-2) for pair in zip(before, (keys, values), strict=True))  # type: ignore[return-value]
        self.keys[..., start:end, :], self.values[..., start:end, :] = keys, values
        return self.keys[..., :end, :], self.values[..., :end, :]


class CausalPrompt:
    """A `model.passes.KeptPrompt` that can rewind to any length. `canvas`: rows at its end that canvases need."""

    chunk = CHUNK

    @torch.inference_mode(False)  # buffers made under it could not be written outside of it
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
        """Hidden states [n, D], before the last norm, of tokens behind the prompt; they don't count as held yet."""
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
            for states, held in ((new.keys, old.keys), (new.values, old.values)):
                states[..., : self.tokens, :] = held[..., : self.tokens, :]
        other.tokens = self.tokens
        return other
