"""The prompt's keys and values, with room for those of a canvas.

The buffers have room for a canvas behind the prompt. A pass writes the keys and values of the rows that it computes,
and attends to all rows; its mask says which of them count. One canvas uses the prompt's own buffers: only prompt tokens
count as held, so the next canvas overwrites the last one. Several canvases get copies of the prompt.

Knows rows, not why a mask shows them; runs on the engine thread. Shapes: B canvases, n rows, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

CHUNK = 256
"""The number of prompt tokens that are read together. A cancel takes effect between two chunks."""


class Buffers:
    """`states` [B, 2K, rows, d] of each layer: the keys of its K heads, then the values."""

    def __init__(self, model: Any, states: Sequence[Tensor]) -> None:
        self._model, self._states = model, states

    @classmethod
    @torch.inference_mode(False)  # a buffer made in inference mode cannot be written outside of it
    def empty(cls, model: Any, rows: int) -> Buffers:
        config, like = model.config, model.model.norm.weight
        shape = 1, 2 * config.num_key_value_heads, rows, config.head_dim
        return cls(model, [like.new_zeros(shape) for _ in model.model.layers])

    def copied(self, batch: Tensor, rows: int | None = None) -> Buffers:
        """The canvases `batch` [b] in buffers of their own, with the first `rows` of each (None: all)."""
        return Buffers(self._model, [states[batch, :, :rows] for states in self._states])

    def copy_from(self, other: Buffers, rows: int) -> None:
        for new, old in zip(self._states, other._states, strict=True):
            new[:, :, :rows] = old[:, :, :rows]

    def through(
        self, embedded: Tensor, positions: Tensor, mask: Tensor, adapted: bool, places: Tensor | None = None
    ) -> Tensor:
        """`Layers.through` with these states."""
        hidden: Tensor = self._model.fused.through(embedded, positions, mask, self._states, adapted, places)
        return hidden

    def move(self, rows: slice, by: Tensor) -> None:
        """`Layers.move` with these states."""
        self._model.fused.move(self._states, rows, by)


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
        return self._buffers.through(
            self._model.model.embed_tokens(row), positions[None], causal[None, None], adapted=False
        )[0]

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
