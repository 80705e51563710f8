"""The prompt's keys and values, and the forward pass of prompt tokens and canvas rows through the layers.

The buffers have room for a canvas behind the prompt. A pass writes the keys and values of the rows that it computes,
and attends to all rows; its mask says which of them count. One canvas uses the prompt's own buffers: only prompt tokens
count as held, so the next canvas overwrites the last one. Several canvases get copies of the prompt.

Knows rows, neither masks nor adapters; runs on the engine thread. Shapes: B canvases, n rows, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

CHUNK = 256
"""The number of prompt tokens that are read together. A cancel takes effect between two chunks."""


class Buffers:
    """`keys` and `values` [B, heads, rows, dim] of each layer."""

    def __init__(self, model: Any, states: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._model, self._states = model, states
        self._batch = torch.arange(len(states[0][0]), device=model.device)[:, None]
        self._layers = Cache(layers=list[Any](_Layer(self._write, *layer) for layer in states))

    @classmethod
    @torch.inference_mode(False)  # a buffer made in inference mode cannot be written outside of it
    def empty(cls, model: Any, rows: int) -> Buffers:
        config, like = model.config, model.model.embed_tokens.weight
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = 1, config.num_key_value_heads, rows, width
        return cls(model, [(like.new_zeros(shape), like.new_zeros(shape)) for _ in model.model.layers])

    @property
    def batch(self) -> int:
        return len(self._batch)

    def copied(self, batch: Tensor, rows: int | None = None) -> Buffers:
        """The canvases `batch` [b] in buffers of their own, with the first `rows` of each (None: all)."""
        return Buffers(self._model, [(keys[batch, :, :rows], values[batch, :, :rows]) for keys, values in self._states])

    def copy_from(self, other: Buffers, rows: int) -> None:
        for target, source in zip(self._states, other._states, strict=True):
            for new, old in zip(target, source, strict=True):
                new[:, :, :rows] = old[:, :, :rows]

    def through(self, embedded: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Hidden states [B, n, D], before the last norm, of the rows at `positions` [B, n]. `mask`, bool [B or 1, 1, n,
        end], is True where a row sees a key."""
        body = self._model.model
        self._positions, self._end = positions, mask.shape[-1]
        rotary = body.rotary_emb(embedded, positions)
        hidden = embedded
        for layer in body.layers:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_embeddings=rotary,
                position_ids=positions,
                past_key_values=self._layers,
                use_cache=True,
            )
        return hidden

    def _write(self, held: Tensor, states: Tensor) -> Tensor:
        """Write the states [B, heads, n, dim] of the pass' rows. Returns all states that a row can see."""
        held[self._batch, :, self._positions] = states.transpose(1, 2)
        return held[:, :, : self._end]


class _Layer:
    """One layer of transformers' cache: its attention calls `update` with the states of a pass, and attends to what
    `update` returns."""

    def __init__(self, write: Callable[[Tensor, Tensor], Tensor], keys: Tensor, values: Tensor) -> None:
        self._write, self._keys, self._values = write, keys, values

    def update(self, keys: Tensor, values: Tensor, *rest: object, **named: object) -> tuple[Tensor, Tensor]:
        return self._write(self._keys, keys), self._write(self._values, values)


class CausalPrompt:
    """A `model.passes.KeptPrompt` that can rewind to any length. `canvas`: additional rows for a canvas at the end."""

    chunk = CHUNK

    def __init__(self, model: Any, capacity: int, canvas: int) -> None:
        self.capacity, self.tokens = capacity, 0
        self._model, self._canvas = model, canvas
        self._buffers = Buffers.empty(model, capacity + canvas)

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
        keys = torch.arange(self.tokens + len(ids), device=row.device)
        positions = keys[self.tokens :]
        causal = keys <= positions[:, None]
        return self._buffers.through(self._model.model.embed_tokens(row), positions[None], causal[None, None])[0]

    def canvases(self, count: int) -> Buffers:
        """Buffers that hold the prompt, with room for a canvas: its own for one canvas, else copies."""
        if count == 1:
            return self._buffers
        same = torch.zeros(count, dtype=torch.long, device=self._model.device)
        return self._buffers.copied(same, self.tokens + self._canvas)

    def grown(self, capacity: int) -> CausalPrompt:
        other = CausalPrompt(self._model, capacity, self._canvas)
        other._buffers.copy_from(self._buffers, self.tokens)
        other.tokens = self.tokens
        return other
