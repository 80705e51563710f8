"""RMS norms with one operation each.

A norm of transformers takes nine operations, and a decoder layer has eleven norms. That makes some 3,000 launches in a
step of the full model. They read very little and cost one or two microseconds each, even in a captured graph.

Knows modules and tensors. Runs on the engine thread.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.diffusion_gemma.modeling_diffusion_gemma import DiffusionGemmaRMSNorm


class FusedRMSNorm(DiffusionGemmaRMSNorm):
    """The same weight as transformers' norm, and the same result except for rounding."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        weight = self.weight if self.with_scale else None
        return functional.rms_norm(hidden_states, hidden_states.shape[-1:], weight, self.eps)


def fuse(model: nn.Module, device: torch.device) -> None:
    """Replace the norms on a GPU, where each launch costs time. On a CPU transformers' norms stay, as the reference."""
    if device.type == "cuda":
        fuse_all(model)


def fuse_all(model: nn.Module) -> None:
    for module in model.modules():
        if type(module) is DiffusionGemmaRMSNorm:
            module.__class__ = FusedRMSNorm
