"""Attention of canvases over a prompt, without copying the prompt.

transformers' decoder layers concatenate the prompt's keys with the canvas' keys in every pass, and need masks for one
prompt length. Such a pass cannot be captured and replayed behind another prompt. `attend` reads the buffers of
`PromptCache` in place, and their valid rows from the device. It is registered as an attention implementation; the
layers pass `prompt` and `lengths` to it. Without these it calls transformers' attention. Knows tensors, no model. Runs
on the thread that calls the model. Shapes: B canvases, C rows of a canvas, d head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from dgls_engine.model.diffusion_gemma.prompt_cache import KeptLayer, PromptCache
from dgls_engine.model.kernels import usable

IMPLEMENTATION = "dgls"
"""The value for a config's `_attn_implementation`."""


def register() -> None:
    """Register `IMPLEMENTATION` in transformers. A second call changes nothing."""
    ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, sdpa_mask)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    prompt: PromptCache | None = None,
    lengths: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of `query` [B, Hq, C, d] over `key` and `value` [B, Hkv, C, d] of a layer. Returns [B, C, Hq, d].

    With a `prompt`, canvas b sees the prompt's rows within `bounds` and its own first `lengths[b]` rows (int32 [B] on
    the device); later output rows are zero. `attention_mask` then does not apply.
    """
    if prompt is None:
        output: Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)[0]
        return output, None
    assert isinstance(module.layer_idx, int)
    assert lengths is not None
    layer, scale = prompt.layers[module.layer_idx], query.shape[-1] ** -0.5 if scaling is None else scaling
    if usable(query.device):
        from dgls_engine.model.kernels.attention import attend as fused

        return fused(query, key, value, layer.keys, layer.values, layer.bounds, lengths, scale), None
    return reference(query, key, value, layer, lengths, scale), None


def reference(query: Tensor, key: Tensor, value: Tensor, layer: KeptLayer, lengths: Tensor, scale: float) -> Tensor:
    """The same attention in plain PyTorch, over the prompt's whole buffer with a mask."""
    batch, rows, length = len(query), layer.keys.shape[-2], query.shape[-2]
    row, position = torch.arange(rows, device=query.device), torch.arange(length, device=query.device)
    in_bounds = (row >= layer.bounds[0]) & (row < layer.bounds[1])
    valid = position < lengths[:, None]
    allowed = torch.cat([in_bounds.expand(batch, -1), valid], dim=1)[:, None, None, :]
    output = scaled_dot_product_attention(
        query,
        torch.cat([layer.keys.expand(batch, -1, -1, -1), key], dim=2),
        torch.cat([layer.values.expand(batch, -1, -1, -1), value], dim=2),
        attn_mask=allowed,
        scale=scale,
        enable_gqa=True,
    )
    return output.transpose(1, 2).masked_fill(~valid[:, :, None, None], 0.0).contiguous()
