"""One pass of transformers' DiffusionGemma encoder or decoder, in parts: pinned rows need no logits.

transformers' `DiffusionGemmaForBlockDiffusion.forward` takes self-conditioning as logits for every canvas position and
returns logits for every canvas position. With a vocabulary of 262k that is most of a step's memory, and a pinned
position needs neither. These functions run the same modules in the same order, but take self-conditioning as soft
embeddings and compute logits only for given rows. Training and denoising share them.

Knows tensors only: no text, no tokenizer, no sampling. Runs on the calling thread (of the engine or of a training run).
Shapes: B batch, P prompt, C canvas, D hidden, V vocabulary.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion

AttentionMasks = dict[str, Tensor | None]
"""Layer type -> boolean mask [B or 1, 1, queries, keys], True where attention is allowed; None allows all."""

SLIDING, FULL = "sliding_attention", "full_attention"

NO_MASKS: AttentionMasks = {FULL: None, SLIDING: None}
"""Masks for a decoder whose cache holds only rows that it sees: it attends to all of them."""


def encoder_masks(start: int, end: int, window: int, device: torch.device) -> AttentionMasks:
    """Causal masks for prompt tokens `start..end` over a full-length cache of `end` tokens.

    A sliding layer's token sees itself and the `window - 1` tokens before it.
    """
    query = torch.arange(start, end, device=device)[:, None]
    key = torch.arange(end, device=device)[None, :]
    causal = key <= query
    return {FULL: causal[None, None], SLIDING: (causal & (query - key < window))[None, None]}


def embed(model: DiffusionGemmaForBlockDiffusion, ids: Tensor) -> Tensor:
    """Scaled token embeddings [..., D] of `ids` [...]."""
    embedded: Tensor = model.model.decoder.embed_tokens(ids)
    return embedded


def soft_embeddings(model: DiffusionGemmaForBlockDiffusion, logits: Tensor) -> Tensor:
    """The self-conditioning signal [..., D] of a step's logits [..., V]: the mean embedding under their softmax."""
    dtype = model.model.decoder.embed_tokens.weight.dtype
    # transformers has the same casts: logits in the weights' dtype, their softmax in float32.
    return mean_embeddings(model, logits.to(dtype).softmax(dim=-1, dtype=torch.float32).to(dtype))


def mean_embeddings(model: DiffusionGemmaForBlockDiffusion, probabilities: Tensor) -> Tensor:
    """The mean scaled embedding [..., D] under `probabilities` [..., V] in the weights' dtype."""
    table = model.model.decoder.embed_tokens
    mean: Tensor = torch.matmul(probabilities, table.weight) * table.embed_scale.to(table.weight.dtype)
    return mean


def encode(
    model: DiffusionGemmaForBlockDiffusion, ids: Tensor, cache: Cache, masks: AttentionMasks, start: int = 0
) -> Tensor:
    """Run the causal encoder over `ids` [B, n] at positions `start..start+n`; appends to `cache`.

    Returns the last hidden states [B, n, D]. `cache` must hold all rows that the tokens see; it must return as many
    rows as `masks` have columns.
    """
    positions = torch.arange(start, start + ids.shape[1], device=ids.device)[None]
    encoder = model.model.encoder.language_model
    kept = {_cache_argument(type(encoder).forward): cache}
    output = encoder(input_ids=ids, attention_mask=masks, position_ids=positions, use_cache=True, **kept)
    hidden: Tensor = output.last_hidden_state
    return hidden


def decode(
    model: DiffusionGemmaForBlockDiffusion,
    ids: Tensor,
    soft: Tensor | None,
    cache: DynamicCache,
    masks: AttentionMasks,
    start: int,
) -> Tensor:
    """Run the bidirectional decoder over a canvas `ids` [B, C] at positions `start..start+C`; only reads `cache`.

    `soft` [B, C, D] is the self-conditioning signal, None for the first step (zeros). Returns hidden states [B, C, D].
    """
    positions = torch.arange(start, start + ids.shape[1], device=ids.device)[None]
    return decode_at(model, ids, soft, positions, cache, masks)


def decode_at(
    model: DiffusionGemmaForBlockDiffusion,
    ids: Tensor,
    soft: Tensor | None,
    positions: Tensor,
    cache: DynamicCache | None = None,
    masks: AttentionMasks = NO_MASKS,
    **attention: Any,
) -> Tensor:
    """`decode` at `positions` [1, C]. Without a `cache`, `attention` names the prompt (see `attention.py`)."""
    decoder = model.model.decoder
    embedded = decoder.embed_tokens(ids)
    hidden: Tensor = decoder.self_conditioning(embedded, torch.zeros_like(embedded) if soft is None else soft)
    layer_types = decoder.text_config.layer_types
    rotary = {kind: decoder.rotary_emb(hidden, positions, kind) for kind in decoder.unique_layer_types}
    for layer, kind in zip(decoder.layers, layer_types, strict=True):
        hidden = layer(
            hidden,
            position_embeddings=rotary[kind],
            attention_mask=masks[kind],
            position_ids=positions,
            **{_cache_argument(type(layer).forward): cache},
            **attention,
        )
    normed: Tensor = decoder.norm(hidden)
    return normed


@functools.cache
def _cache_argument(forward: Callable[..., Any]) -> str:
    """transformers 5.24 renamed the argument, and 5.40 drops the old name."""
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"


def head(model: DiffusionGemmaForBlockDiffusion, hidden: Tensor) -> Tensor:
    """Raw logits [..., V], in the weights' dtype, of hidden states [..., D]."""
    raw: Tensor = model.lm_head(hidden)
    return raw


def logits(model: DiffusionGemmaForBlockDiffusion, hidden: Tensor) -> Tensor:
    """Soft-capped float32 logits [..., V] of hidden states [..., D]."""
    cap = model.final_logit_softcapping
    return torch.tanh(head(model, hidden).to(torch.float32) / cap) * cap
