"""RMS norms as one operation each.

Transformers' takes nine, and a decoder layer has eleven norms: some 3,000 launches of the full model's step, which read
next to nothing and cost a microsecond or two each even in a captured graph.

Knows modules and tensors. Runs on the engine thread.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.diffusion_gemma.modeling_diffusion_gemma import DiffusionGemmaRMSNorm


class FusedRMSNorm(DiffusionGemmaRMSNorm):
    """The same weight, the same numbers but for rounding."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        weight = self.weight if self.with_scale else None
        return functional.rms_norm(hidden_states, hidden_states.shape[-1:], weight, self.eps)


def fuse(model: nn.Module, device: torch.device) -> None:
    """Use them where operations are launched one by one. On a CPU transformers' own stay, as the reference."""
    if device.type == "cuda":
        fuse_all(model)


def fuse_all(model: nn.Module) -> None:
    for module in model.modules():
        if type(module) is DiffusionGemmaRMSNorm:
            module.__class__ = FusedRMSNorm
