"""The experts' forward pass on packed weights, registered in transformers (`ALL_EXPERTS_FUNCTIONS`).

    register(); config._experts_implementation = IMPLEMENTATION
    install(module, gate_up, down)  # module: a DiffusionGemmaTextExperts; removes its plain weights

With CUDA and Triton, packed weights run through grouped kernels (`model.kernels.grouped`). Everywhere else, and as the
kernels' reference, plain PyTorch processes one expert after the other. A module with plain weights runs transformers'
code. Runs on the engine thread; knows neither files nor the packed formats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DiffusionGemmaTextConfig
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS, grouped_mm_experts_forward

from dgls_engine.model import kernels
from dgls_engine.model.packing import Packed, unpack

IMPLEMENTATION = "dgls"

_PROJECTIONS = ("gate_up_proj", "down_proj")
_TENSORS = ("values", "scales", "zeros")
_FUSED = "gelu_pytorch_tanh"
"""The activation of the grouped kernels."""

_FEW = 8
"""With at most this many experts, each token can run through all of them: such models are small."""


def register() -> None:
    """Register IMPLEMENTATION in transformers. A second call changes nothing."""
    ALL_EXPERTS_FUNCTIONS.register(IMPLEMENTATION, forward)


def install(module: nn.Module, gate_up: Packed, down: Packed) -> None:
    """Replace a module's plain weights by packed ones. gate_up: [E, 2 * I, D]; down: [E, D, I].

    Several modules may share the tensors, as the encoder and the decoder do.
    """
    for name, packed in zip(_PROJECTIONS, (gate_up, down), strict=True):
        if hasattr(module, name):
            delattr(module, name)
        for part in _TENSORS:
            module.register_buffer(f"{name}_{part}", getattr(packed, part))
        setattr(module, f"{name}_columns", packed.columns)


def installed(module: nn.Module) -> tuple[Packed, Packed] | None:
    """The packed gate_up and down of a module; None if its weights are plain."""
    if not hasattr(module, f"{_PROJECTIONS[0]}_values"):
        return None
    gate_up, down = (
        Packed(**{part: getattr(module, f"{name}_{part}") for part in (*_TENSORS, "columns")}) for name in _PROJECTIONS
    )
    return gate_up, down


def forward(module: nn.Module, hidden: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
    """The experts' output [T, D] for `hidden` [T, D]. `chosen`, `shares` [T, k]: each token's experts, their shares."""
    packed = installed(module)
    if packed is None:
        return _plain_weights(module, hidden, chosen, shares)
    gate_up, down = packed
    if hidden.dtype == torch.bfloat16 and kernels.usable(hidden.device) and _activation(module) == _FUSED:
        from dgls_engine.model.kernels.grouped import grouped_experts

        return grouped_experts(hidden, chosen, shares, gate_up, down)
    return by_expert(module, hidden, chosen, shares, gate_up, down)


def by_expert(
    module: nn.Module, hidden: Tensor, chosen: Tensor, shares: Tensor, gate_up: Packed, down: Packed
) -> Tensor:
    """The reference: unpacks one expert after the other. Waits for the device."""
    activation = cast(Callable[[Tensor], Tensor], module.act_fn)
    results = hidden.new_zeros((*chosen.shape, hidden.shape[-1]), dtype=torch.float32)  # [T, k, D]
    for expert in torch.unique(chosen).tolist():
        token, place = torch.where(chosen == expert)
        gate, up = functional.linear(hidden[token], _of(gate_up, expert, hidden.dtype)).chunk(2, dim=-1)
        inner = activation(gate) * up  # [tokens, I]
        out = functional.linear(inner, _of(down, expert, hidden.dtype))
        results[token, place] = out.float() * shares[token, place, None].float()
    return results.sum(dim=1).to(hidden.dtype)


def by_all(module: nn.Module, hidden: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
    """Each token through all experts, on plain weights; experts that it did not choose have the share 0."""
    gate_up, down = cast(Tensor, module.gate_up_proj), cast(Tensor, module.down_proj)
    activation = cast(Callable[[Tensor], Tensor], module.act_fn)
    share = shares.new_zeros(len(hidden), len(gate_up)).scatter(1, chosen, shares)  # [T, E]
    gate, up = (hidden @ gate_up.mT).chunk(2, dim=-1)
    results = (activation(gate) * up) @ down.mT  # [E, T, D]
    return (results * share.T[:, :, None]).sum(dim=0).to(hidden.dtype)


def _of(packed: Packed, expert: int, dtype: torch.dtype) -> Tensor:
    """One expert's weight [N, K]."""
    zeros = None if packed.zeros is None else packed.zeros[expert]
    one = dataclasses.replace(packed, values=packed.values[expert], scales=packed.scales[expert], zeros=zeros)
    return unpack(one, dtype)


def _activation(module: nn.Module) -> str:
    return cast(DiffusionGemmaTextConfig, module.config).hidden_activation


def _plain_weights(module: nn.Module, hidden: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
    """Transformers' forward pass, except for few experts on CUDA, where grouped_mm can wait for the device (torch's
    grouped_mm does unless it runs in bfloat16 on Hopper or later). A pass that waits cannot be captured.

    Measured on a CPU with 1-16 experts: grouped_mm is as fast as eager or up to 1.4 times faster; batched_mm is 50 to
    200 times slower, because it copies an expert's weights for every token. MPS has no grouped_mm.
    """
    if hidden.device.type == "cuda" and cast(Tensor, module.gate_up_proj).shape[0] <= _FEW:
        return by_all(module, hidden, chosen, shares)
    if hidden.device.type == "mps":
        eager = type(module).forward.__wrapped__  # type: ignore[attr-defined]
        return cast(Tensor, eager(module, hidden, chosen, shares))
    return grouped_mm_experts_forward(module, hidden, chosen, shares)
