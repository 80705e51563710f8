"""Builds DiffusionGemma's modules without weights, and computes the tensors that are not stored.

The vision tower is never allocated, because prompts have no images. Knows torch and transformers; neither files nor
prompts. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig
from transformers.models.diffusion_gemma import modeling_diffusion_gemma as parts

from dgls_engine.model.diffusion_gemma import attention, experts, norms
from dgls_engine.model.diffusion_gemma.decoder import SLIDING
from dgls_engine.model.diffusion_gemma.memory import Anatomy, Layer
from dgls_engine.model.slots import Site, Slot


def build(config: Mapping[str, Any]) -> DiffusionGemmaForBlockDiffusion:
    """The modules on the meta device, in evaluation mode. A mistake in the config can raise any exception."""
    attention.register()
    experts.register()
    parsed = DiffusionGemmaConfig.from_dict(dict(config))
    parsed._attn_implementation = attention.IMPLEMENTATION
    parsed._experts_implementation = experts.IMPLEMENTATION
    with torch.device("meta"):
        model = DiffusionGemmaForBlockDiffusion(parsed)
    model.model.encoder.vision_tower = None
    model.model.encoder.embed_vision = None
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    return model


def sites(all_slots: Sequence[Slot]) -> list[Site]:
    """The experts among the slots, in the order of their layers."""
    layers: dict[tuple[int, ...], dict[str, Slot]] = {}
    for slot in all_slots:
        module, attribute = slot.owners[0]
        if isinstance(module, parts.DiffusionGemmaTextExperts):
            layers.setdefault(tuple(id(owner) for owner, _ in slot.owners), {})[attribute] = slot
    return [
        Site(tuple(owner for owner, _ in layer["gate_up_proj"].owners), (layer["gate_up_proj"], layer["down_proj"]))
        for layer in layers.values()
    ]


def finish(model: DiffusionGemmaForBlockDiffusion, device: torch.device) -> None:
    """Compute the rotary frequencies and the embedding's scale, in float32 as in transformers; fuse norms on a GPU."""
    for owner in (model.model.encoder.language_model, model.model.decoder):
        owner.rotary_emb = parts.DiffusionGemmaTextRotaryEmbedding(text_config(model)).to(device)
        table = owner.embed_tokens
        table.embed_scale = torch.tensor(table.scalar_embed_scale, dtype=torch.float32, device=device)
    norms.fuse(model, device)


def text_config(model: DiffusionGemmaForBlockDiffusion) -> DiffusionGemmaTextConfig:
    config = model.config.text_config
    assert isinstance(config, DiffusionGemmaTextConfig)
    return config


def described(config: Mapping[str, Any]) -> Anatomy:
    """The `Anatomy` of a `config.json`, without modules. A mistake in the config can raise any exception."""
    return anatomy(DiffusionGemmaConfig.from_dict(dict(config)))


def anatomy(config: DiffusionGemmaConfig) -> Anatomy:
    """The numbers that determine the model's size. Missing values have the config's defaults, as in `build`."""
    text: Any = config.text_config
    layers = [
        Layer(kind == SLIDING, text.per_layer_config[index].num_key_value_heads, text.per_layer_config[index].head_dim)
        for index, kind in enumerate(text.layer_types)
    ]
    return Anatomy(
        vocabulary=text.vocab_size,
        hidden=text.hidden_size,
        dense_width=text.intermediate_size,
        experts=text.num_experts,
        expert_width=text.moe_intermediate_size,
        active_experts=text.top_k_experts,
        query_heads=text.num_attention_heads,
        window=text.sliding_window,
        canvas_length=config.canvas_length or 0,
        layers=tuple(layers),
        tied=config.tie_word_embeddings,
    )
