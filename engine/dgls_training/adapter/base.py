"""The frozen autoregressive model: it reads contexts causally, and runs canvas rows with the adapter.

Weights that read the same input are one matrix, as in the adapter (`FUSED` in `dgls_engine/model/masked/adapter.py`).
Only Llama without scaled rotary embeddings. Gradients flow through canvas rows to the adapter, never to the base.

Shapes: C contexts, n rows, D hidden, H heads, K key-value heads, d head width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from dgls_engine.model.masked.adapter import FUSED
from dgls_engine.model_files import read_json
from dgls_training.adapter.weights import Adapter, Pair

States = Sequence[tuple[Tensor, Tensor]]
"""The keys and values [C, K, n, d] of each layer."""

_POSITIONS = 2048
_NORMS = ("input_layernorm", "post_attention_layernorm")


class _Sizes(NamedTuple):
    heads: int
    kv_heads: int
    width: int
    epsilon: float


class _Layer(NamedTuple):
    """Norms [D] and fused weights by the name of their part."""

    before_attention: Tensor
    before_mlp: Tensor
    parts: Mapping[str, Tensor]


class Base:
    """The model in the checkpoint `folder`. Raises `ValueError` for another architecture. `compiled`: the layers are
    compiled for the first shapes that they meet, for a minute or two; a C++ compiler must be there."""

    def __init__(
        self,
        folder: Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
        compiled: bool = False,
    ) -> None:
        config: dict[str, Any] = read_json(folder / "config.json")
        rotary = config.get("rope_parameters") or {}
        if config["model_type"] != "llama" or rotary.get("rope_type") != "default":
            raise ValueError(f"{folder} holds no Llama model with plain rotary embeddings; take another base")
        self.device, self.dtype = torch.device(device), dtype
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        width = config.get("head_dim") or hidden // heads
        self._sizes = _Sizes(heads, config["num_key_value_heads"], width, config["rms_norm_eps"])
        stored = load_file(folder / "model.safetensors")
        tensors = {name: tensor.to(self.device, dtype) for name, tensor in stored.items()}
        self.embedding = tensors["model.embed_tokens.weight"]
        """[V, D]."""
        self.head = tensors.get("lm_head.weight", self.embedding)
        """[V, D]; tied to the embedding if the checkpoint has no other."""
        self._norm = tensors["model.norm.weight"]
        self._layers = [_layer(tensors, number) for number in range(config["num_hidden_layers"])]
        self._rotary = _rotary(width, rotary["rope_theta"], self.embedding)
        self._read: Callable[..., Any] = _read_layer
        self._canvas: Callable[..., Any] = _canvas_layer
        if compiled:
            self._read, self._canvas = (torch.compile(each, dynamic=False) for each in (self._read, self._canvas))

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(out, in) of each fused weight, by the layer's number and the part's letter: `0a`."""
        return {
            f"{number}{part}": (weight.shape[0], weight.shape[1])
            for number, layer in enumerate(self._layers)
            for part, weight in layer.parts.items()
        }

    @torch.no_grad()
    def read(self, ids: Tensor) -> tuple[Tensor, States]:
        """Read ids [C, n] causally, without the adapter. Returns the hidden states [C, n, D] that predict the tokens
        after them, and the keys and values."""
        hidden, states = self.embedding[ids], []
        rotary = self._turns(torch.arange(ids.shape[1], device=self.device)[None])
        for layer in self._layers:
            hidden, keys, values = self._read(self._sizes, hidden, rotary, layer)
            states.append((keys, values))
        return _normed(hidden, self._norm, self._sizes), states

    def canvas(
        self, ids: Tensor, positions: Tensor, mask: int, seen: Tensor, states: States, adapter: Adapter
    ) -> Tensor:
        """The hidden states [C, n, D] of the canvas rows `ids` at `positions` [C, n], behind a context with `states`.
        `seen` [C, n, context + n] is True where a row sees a key."""
        score = torch.zeros(seen.shape, device=self.device, dtype=self.dtype).masked_fill_(~seen, -torch.inf)
        score = score[:, None].repeat(1, 1, self._sizes.heads // self._sizes.kv_heads, 1)
        hidden = torch.where((ids == mask)[..., None], adapter.rows[0].to(self.dtype), self.embedding[ids])
        rotary = self._turns(positions)
        for number, (layer, past) in enumerate(zip(self._layers, states, strict=True)):
            hidden = self._canvas(self._sizes, hidden, rotary, layer, adapter.layer(number), past, score)
        return _normed(hidden, self._norm, self._sizes)

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., V] in float32."""
        return functional.linear(hidden, self.head).float()

    def _turns(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines [C, n, 1, d]."""
        cos, sin = self._rotary
        return cos[positions][:, :, None], sin[positions][:, :, None]


def _read_layer(
    sizes: _Sizes, hidden: Tensor, rotary: tuple[Tensor, Tensor], layer: _Layer
) -> tuple[Tensor, Tensor, Tensor]:
    """A layer of a causal pass: the hidden states, keys and values."""
    # Attention over tensors whose heads do not lie together takes 1.8 times as long as the copies.
    queries, keys, values = (part.contiguous() for part in _projected(sizes, hidden, rotary, layer, None))
    mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
    return _added(sizes, hidden, mixed, layer, None), keys, values


def _canvas_layer(
    sizes: _Sizes,
    hidden: Tensor,
    rotary: tuple[Tensor, Tensor],
    layer: _Layer,
    adapter: Mapping[str, Pair],
    past: tuple[Tensor, Tensor],
    score: Tensor,
) -> Tensor:
    """A layer over canvas rows. `score` [C, 1, groups * n, keys] is added to the attention's scores."""
    queries, *own = _projected(sizes, hidden, rotary, layer, adapter)
    keys, values = (torch.cat(pair, dim=2) for pair in zip(past, own, strict=True))
    groups = sizes.heads // sizes.kv_heads
    # The heads of a group share their keys: as rows of one head they need no copies of them. Written out, because the
    # backward pass of torch's fused attention takes 1.5 times as long on a CPU.
    contexts, heads, count, width = queries.shape
    rows = queries.reshape(contexts, sizes.kv_heads, groups * count, width) * width**-0.5
    mixed = (rows @ keys.transpose(2, 3) + score).softmax(dim=-1) @ values
    return _added(sizes, hidden, mixed.view(contexts, heads, count, width), layer, adapter)


def _projected(
    sizes: _Sizes,
    hidden: Tensor,
    rotary: tuple[Tensor, Tensor],
    layer: _Layer,
    adapter: Mapping[str, Pair] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [C, H, n, d], keys and values [C, K, n, d]."""
    fused = _linear(_normed(hidden, layer.before_attention, sizes), "a", layer, adapter)
    by_head = fused.view(*fused.shape[:2], -1, sizes.width)
    turning, values = by_head.tensor_split([sizes.heads + sizes.kv_heads], dim=2)
    cos, sin = rotary
    turned = turning * cos + turning.roll(sizes.width // 2, dims=-1) * sin
    queries, keys = turned.transpose(1, 2).tensor_split([sizes.heads], dim=1)
    return queries, keys, values.transpose(1, 2)


def _added(sizes: _Sizes, hidden: Tensor, mixed: Tensor, layer: _Layer, adapter: Mapping[str, Pair] | None) -> Tensor:
    """The hidden states after a layer, from those before it and the attention's output [C, H, n, d]."""
    hidden = hidden + _linear(mixed.transpose(1, 2).flatten(2), "o", layer, adapter)
    gate, up = _linear(_normed(hidden, layer.before_mlp, sizes), "g", layer, adapter).chunk(2, dim=-1)
    return hidden + _linear(functional.silu(gate) * up, "d", layer, adapter)


def _linear(input: Tensor, part: str, layer: _Layer, adapter: Mapping[str, Pair] | None) -> Tensor:
    output = functional.linear(input, layer.parts[part])
    if adapter is None:
        return output
    down, up = adapter[part]
    return output + functional.linear(functional.linear(input, down.to(input.dtype)), up.to(input.dtype))


def _normed(hidden: Tensor, weight: Tensor, sizes: _Sizes) -> Tensor:
    return functional.rms_norm(hidden, weight.shape, weight, sizes.epsilon)


def _layer(tensors: Mapping[str, Tensor], number: int) -> _Layer:
    name = f"model.layers.{number}"
    parts = {
        part: torch.cat([tensors[f"{name}.{linear}.weight"] for linear in linears]) for part, linears in FUSED.items()
    }
    before_attention, before_mlp = (tensors[f"{name}.{norm}.weight"] for norm in _NORMS)
    return _Layer(before_attention, before_mlp, parts)


def _rotary(width: int, theta: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [positions, d]; the sines of the first half are negative, so that a roll replaces transformers'
    `rotate_half`."""
    angles = torch.arange(_POSITIONS).float()[:, None] / theta ** (torch.arange(0, width, 2).float() / width)
    cos, sin = torch.cat([angles.cos()] * 2, dim=-1), torch.cat([-angles.sin(), angles.sin()], dim=-1)
    return cos.to(like), sin.to(like)
