"""The decoder layers of a masked model, in few operations.

    layers = Layers(model, rotary(model.config, device))
    hidden = layers.through(embedded, positions, mask, states, adapted=True)

The computation is that of transformers' modules, with their weights. A pass over a few rows takes as long as its many
small operations, so what can be one operation is: queries, keys and values come from one product, as do gate and up;
the query heads that share a key head are rows of one attention, so keys are not repeated.

Knows rows, no tokens; runs on the engine thread. Shapes: B canvases, n rows, D hidden, K key heads, d values of a head,
e rows that can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgls_engine.model.masked.adapter import CANVAS_WEIGHT
from dgls_engine.model.masked.modules import Decoder, Experts, Linear
from dgls_engine.model.packing import Packed, Packing, joined, pack_rows
from dgls_engine.model.products import Product, arranged, product


class Layers:
    """The layers of `model`. Its modules keep views of plain weights; packed weights and folded adapters move here.
    `packing`: how to pack the weights of layers with an adapter."""

    def __init__(self, model: Decoder, rotary: Any, packing: Packing | None = None) -> None:
        self._rotary = rotary
        self._layers = [_Layer(layer, model.config.head_dim, packing) for layer in model.model.layers]

    def through(
        self,
        embedded: Tensor,
        positions: Tensor,
        mask: Tensor,
        states: Sequence[Tensor],
        adapted: bool,
        places: Tensor | None = None,
    ) -> Tensor:
        """Hidden states [B, n, D], before the last norm, of the rows at `positions` [B, n].

        `mask`, bool [B or 1, 1, n or 1, e], is True where a row sees a key. `states` are each layer's keys, then values
        [B, 2K, at least e, d]; those of the pass' rows are written, at their `places` [B, n], or else at their
        positions. `adapted`: whether the adapter acts.
        """
        cos, signed = self._turns(embedded, positions)
        added = embedded.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)
        if mask.shape[2] > 1:
            added = added.repeat(1, 1, self._layers[0].shared, 1)
        at = torch.arange(len(embedded), device=embedded.device)[:, None], positions if places is None else places
        hidden = embedded
        for layer, held in zip(self._layers, states, strict=True):
            hidden = layer.through(hidden, cos, signed, added, held, at, adapted)
        return hidden

    def move(self, states: Sequence[Tensor], rows: slice, by: Tensor) -> None:
        """Turn the keys of `rows` by as many positions as `by` [B] says: they were computed for other positions."""
        cos, signed = self._turns(states[0], by[:, None])
        for held in states:
            keys = held[:, : held.shape[1] // 2, rows]
            keys.copy_(_turned(keys, cos, signed))

    def _turns(self, like: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin [B, 1, n, d] of rotary embeddings. The sin is signed for halves that `roll` has swapped."""
        cos, sin = self._rotary(like, positions)
        half = sin.shape[-1] // 2
        return cos[:, None], torch.cat([-sin[..., :half], sin[..., half:]], -1)[:, None]


def _turned(heads: Tensor, cos: Tensor, signed: Tensor) -> Tensor:
    turned: Tensor = heads * cos + heads.roll(heads.shape[-1] // 2, -1) * signed
    return turned


class _Layer:
    def __init__(self, layer: Any, size: int, packing: Packing | None) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._size = size
        self._queries, self._keys = (each.out_features // self._size for each in (attention.q_proj, attention.k_proj))
        self.shared = self._queries // self._keys
        """The number of query heads that share a key head."""
        self._before, self._between = layer.input_layernorm, layer.post_attention_layernorm
        self._heads = _products(packing, attention.q_proj, attention.k_proj, attention.v_proj)
        self._out = _products(packing, attention.o_proj)
        self._norms = (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None
        self._mixture = mlp if isinstance(mlp, Experts) else None
        if self._mixture is None:
            self._inner = _products(packing, mlp.gate_proj, mlp.up_proj)
            self._down = _products(packing, mlp.down_proj)

    def through(
        self,
        hidden: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        held: Tensor,
        at: tuple[Tensor, Tensor],
        adapted: bool,
    ) -> Tensor:
        batch, rows, _ = hidden.shape
        turned = self._queries + self._keys
        heads = self._heads[adapted](self._before(hidden)).view(batch, rows, -1, self._size)
        heads = heads.transpose(1, 2)
        rotated = heads[:, :turned]
        if self._norms is not None:
            parts = rotated.split_with_sizes([self._queries, self._keys], 1)
            rotated = torch.cat([norm(part) for norm, part in zip(self._norms, parts, strict=True)], 1)
        rotated = _turned(rotated, cos, sin)
        new = torch.cat([rotated[:, self._queries :], heads[:, turned:]], 1)
        held[at[0], :, at[1]] = new.transpose(1, 2)
        seen = held[:, :, : mask.shape[-1]]
        queries = rotated[:, : self._queries].reshape(batch, self._keys, self.shared * rows, self._size)
        mixed = functional.scaled_dot_product_attention(
            queries, seen[:, : self._keys], seen[:, self._keys :], attn_mask=mask
        )
        mixed = mixed.view(batch, self._queries, rows, self._size).transpose(1, 2).reshape(batch, rows, -1)
        hidden = hidden + self._out[adapted](mixed)
        if self._mixture is not None:
            mixture: Tensor = self._mixture(self._between(hidden))
            return hidden + mixture
        gate, up = self._inner[adapted](self._between(hidden)).chunk(2, -1)
        return hidden + self._down[adapted](functional.silu(gate) * up)


def _products(packing: Packing | None, *parts: Linear) -> tuple[Product, Product]:
    """One product for linear layers that read the same input, whose outputs follow one another: without the adapter,
    and with it."""
    biases = [part.bias.data for part in parts if part.bias is not None]
    bias = torch.cat(biases) if biases else None
    packed = [part.packed for part in parts if part.packed is not None]
    if packed:
        for part in parts:
            part.packed = None
        whole = product(joined(packed, "rows"), bias)
        return whole, whole
    weight = torch.cat([part.weight.data for part in parts])
    for part, own in zip(parts, torch.split(weight, [part.out_features for part in parts]), strict=True):
        part.weight = nn.Parameter(own, requires_grad=False)
    adapted = [part for part in parts if hasattr(part, CANVAS_WEIGHT)]
    folded = torch.cat([getattr(part, CANVAS_WEIGHT, part.weight).data for part in parts]) if adapted else None
    for part in adapted:
        delattr(part, CANVAS_WEIGHT)
    base = None if packing == "float16" and adapted else packing  # float32 is faster for a prompt's many rows
    if base is not None:
        for part in parts:
            del part.weight
    plain = product(_packed(weight, base), bias)
    if folded is None:
        return plain, plain
    return plain, arranged(folded, bias) if packing is None else product(pack_rows(folded, packing), bias)


def _packed(weight: Tensor, packing: Packing | None) -> Tensor | Packed:
    return weight if packing is None else pack_rows(weight, packing)
