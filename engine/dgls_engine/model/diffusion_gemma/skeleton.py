"""The model's modules before they have weights, and the places where those go.

    model = build(config, device)               # on the meta device: takes no memory
    for place in places(model): settle(place, tensor)
    finish(model, device)                       # what is computed and not stored; checks that nothing is left

Whoever fills a model (`weights.loader` from files, `weights.random_weights` from noise) does it through these. We fill
it ourselves and not through `from_pretrained` because that one warns about a missing or misshapen tensor and carries
on with a random one. The vision tower is never allocated: code has no pictures.

Knows torch and transformers; neither files nor prompts. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig
from transformers.models.diffusion_gemma import modeling_diffusion_gemma as parts

from dgls_engine.model.diffusion_gemma import attention, experts, norms
from dgls_engine.model.diffusion_gemma.decoder import SLIDING
from dgls_engine.model.memory import Anatomy, Layer

VISION = ("model.encoder.vision_tower.", "model.encoder.embed_vision.")


@dataclass(frozen=True, slots=True)
class Place:
    """One tensor of the model: all its names, and the (module, attribute) pairs that hold it; more than one if tied."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    owners: tuple[tuple[nn.Module, str], ...]

    @property
    def is_parameter(self) -> bool:
        module, attribute = self.owners[0]
        return attribute in module._parameters


@dataclass(frozen=True, slots=True)
class Site:
    """The experts of one layer: the modules that share them, and the places of their two projections."""

    modules: tuple[nn.Module, ...]
    gate_up: Place  # [E, 2 * I, D]
    down: Place  # [E, D, I]


def build(config: Mapping[str, Any]) -> DiffusionGemmaForBlockDiffusion:
    """The modules on the meta device, in evaluation mode. A config's mistakes surface as any kind of exception."""
    attention.register()
    experts.register()
    whole = DiffusionGemmaConfig.from_dict(dict(config))
    whole._attn_implementation = attention.IMPLEMENTATION
    whole._experts_implementation = experts.IMPLEMENTATION
    with torch.device("meta"):
        model = DiffusionGemmaForBlockDiffusion(whole)
    model.model.encoder.vision_tower = None
    model.model.encoder.embed_vision = None
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    return model


def places(model: nn.Module) -> list[Place]:
    """Each parameter and each stored buffer once; tied ones share an object."""
    found: dict[int, tuple[list[str], Tensor, list[tuple[nn.Module, str]]]] = {}
    for prefix, module in model.named_modules():
        for attribute, tensor in {**module._parameters, **module._buffers}.items():
            if tensor is None or attribute in module._non_persistent_buffers_set:
                continue
            names, _, owners = found.setdefault(id(tensor), ([], tensor, []))
            names.append(f"{prefix}.{attribute}" if prefix else attribute)
            owners.append((module, attribute))
    return [Place(tuple(names), tuple(tensor.shape), tuple(owners)) for names, tensor, owners in found.values()]


def sites(all_places: Sequence[Place]) -> list[Site]:
    """The experts among the places, in the order of their layers."""
    mine: dict[tuple[int, ...], dict[str, Place]] = {}
    for place in all_places:
        module, attribute = place.owners[0]
        if isinstance(module, parts.DiffusionGemmaTextExperts):
            mine.setdefault(tuple(id(owner) for owner, _ in place.owners), {})[attribute] = place
    return [
        Site(tuple(owner for owner, _ in own["gate_up_proj"].owners), own["gate_up_proj"], own["down_proj"])
        for own in mine.values()
    ]


def settle(place: Place, value: Tensor) -> None:
    """Put a tensor where it belongs, wherever it is shared."""
    filled = nn.Parameter(value, requires_grad=False) if place.is_parameter else value
    for module, attribute in place.owners:
        setattr(module, attribute, filled)


def finish(model: DiffusionGemmaForBlockDiffusion, device: torch.device) -> None:
    """The rotary frequencies and the embedding's scale, in float32 as transformers has them; faster norms on a GPU."""
    for owner in (model.model.encoder.language_model, model.model.decoder):
        owner.rotary_emb = parts.DiffusionGemmaTextRotaryEmbedding(text_config(model)).to(device)
        table = owner.embed_tokens
        table.embed_scale = torch.tensor(table.scalar_embed_scale, dtype=torch.float32, device=device)
    norms.fuse(model, device)
    left = [name for name, tensor in [*model.named_parameters(), *model.named_buffers()] if tensor.is_meta]
    assert not left, f"never filled: {left}"


def text_config(model: DiffusionGemmaForBlockDiffusion) -> DiffusionGemmaTextConfig:
    config = model.config.text_config
    assert isinstance(config, DiffusionGemmaTextConfig)
    return config


def described(config: Mapping[str, Any]) -> Anatomy:
    """`anatomy` of a `config.json`, without building anything. Mistakes surface as any kind of exception."""
    return anatomy(DiffusionGemmaConfig.from_dict(dict(config)))


def anatomy(config: DiffusionGemmaConfig) -> Anatomy:
    """The numbers that decide the model's size. A config's own defaults are in force here, as in `build`."""
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
