"""A low-rank adapter (Hu et al., arXiv 2106.09685) that acts on canvas rows only.

    y = (W + B A) x + b      for canvas rows; y = W x + b for the prompt

So the prompt's keys and values are those of the autoregressive model without the adapter. W + B A is computed once: a
step of a few rows takes 1.6 times as long with separate products. B includes the adapter's scale. Knows modules, no
canvas; `layers` takes the folded weights over. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dgls_engine.model.masked.modules import Linear

_DOWN, _UP = "lora_A.weight", "lora_B.weight"
"""PEFT's names for an adapter's tensors; the name of the linear layer comes first."""

CANVAS_WEIGHT = "canvas_weight"
"""The attribute that holds the folded weight."""


class CanvasLinear(Linear):
    """A linear layer and its adapter: `lora_A` [r, in], `lora_B` [out, r]. `fold` replaces both by `canvas_weight`
    [out, in]."""

    def __init__(self, like: Linear, rank: int) -> None:
        super().__init__(like.in_features, like.out_features, bias=like.bias is not None)
        self.lora_A = Linear(like.in_features, rank)
        self.lora_B = Linear(rank, like.out_features)

    def fold(self) -> None:
        whole = torch.addmm(self.weight, self.lora_B.weight, self.lora_A.weight)  # sums up in float32
        self.canvas_weight = nn.Parameter(whole, requires_grad=False)
        del self.lora_A, self.lora_B


def adapt(model: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Add an adapter to each linear layer whose adapter tensors are in `shapes`. Raises `ValueError` if one of the two
    tensors is missing or has a wrong shape."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
    for name, layer in layers.items():
        down, up = (shapes.get(f"{name}.{part}") for part in (_DOWN, _UP))
        if down is None and up is None:
            continue
        if down is None or up is None or len(down) != 2 or len(up) != 2 or down[0] != up[1]:
            raise ValueError(f"the adapter of {name} needs {_DOWN} [r, in] and {_UP} [out, r]")
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, CanvasLinear(layer, down[0]))


def fold(model: nn.Module) -> None:
    """Fold the adapter, once its tensors are loaded."""
    for module in model.modules():
        if isinstance(module, CanvasLinear):
            module.fold()


def folded_values(model: nn.Module) -> int:
    """How many values more than the checkpoint's a folded adapter takes."""
    layers = (module for module in model.modules() if isinstance(module, CanvasLinear))
    return sum(layer.weight.numel() - layer.lora_A.weight.numel() - layer.lora_B.weight.numel() for layer in layers)


FUSED: Mapping[str, tuple[str, ...]] = {
    "a": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "g": ("mlp.gate_proj", "mlp.up_proj"),
    "d": ("mlp.down_proj",),
}
"""How an adapter is trained and shipped: layers that read the same input share their A."""


def spread(fused: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a fused adapter (`A.<layer><part>` [r, in], `B.<layer><part>` [out, r], `rows` [1, D]), under the
    names that `adapt` knows. `config` is the base's."""
    width, hidden, inner = config["head_dim"], config["hidden_size"], config["intermediate_size"]
    queries, keys = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
    sizes = {"a": (queries, keys, keys), "o": (hidden,), "g": (inner, inner), "d": (hidden,)}
    tensors = {"model.mask_embedding": fused["rows"][0].clone()}
    for name, down in fused.items():
        if name.startswith("A."):
            layer, part = name[2:-1], name[-1]
            parts = fused[f"B.{layer}{part}"].split_with_sizes(list(sizes[part]))
            for linear, up in zip(FUSED[part], parts, strict=True):
                tensors[f"model.layers.{layer}.{linear}.lora_A.weight"] = down.clone()
                tensors[f"model.layers.{layer}.{linear}.lora_B.weight"] = up.clone()
    return tensors
