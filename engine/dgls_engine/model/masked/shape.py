"""What a `config.json` says about a masked model's modules, whatever names its architecture uses.

Imports no torch; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dgls_engine.model.masked.published import convention_of

_MOST_LAYERS, _MOST_EXPERTS = 1000, 1024
"""To build more takes minutes; no model has so many."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """A layer's experts: their number, how many of them a token uses, and the inner size of one."""

    experts: int
    used: int
    intermediate_size: int


@dataclass(frozen=True, slots=True)
class Shape:
    """`biases`: whether the inner products of the attention, its output, and the feed-forward network have them.
    `head_norms`: whether each head's query and key are normalised. `rope` are the parameters of the rotary embedding.
    `shifted`: row i predicts token i + 1. `in_one_sequence`: a pass computes the prompt's rows, too."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    tie_word_embeddings: bool
    biases: tuple[bool, bool, bool]
    head_norms: bool
    mixture: Mixture | None
    max_position_embeddings: int
    rope: Mapping[str, Any]
    shifted: bool
    in_one_sequence: bool

    @classmethod
    def of(cls, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})) -> Shape:
        """`shapes` of the stored tensors. Raises `KeyError` for a missing value, and `ValueError` for something that
        the family does not run."""
        convention = convention_of(config)
        kind = config["model_type"]
        if kind in ("llada", "lladamoe"):
            config = _of_a_mixture(config) if "num_experts" in config else _with_usual_names(config)
        _require_plain(config)
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        own = bool(config.get("attention_bias"))
        qwen = kind in ("qwen2", "a2d-qwen2", "Dream")
        tied = bool(config.get("tie_word_embeddings"))
        if kind in ("a2d-qwen2", "CoDA") and "lm_head.weight" in shapes:
            tied = False  # their code gives the head weights of its own, whatever the config says
        return cls(
            vocab_size=config["vocab_size"],
            hidden_size=hidden,
            intermediate_size=config["intermediate_size"],
            num_hidden_layers=config["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or hidden // heads,
            rms_norm_eps=config.get("rms_norm_eps", 1e-6),
            tie_word_embeddings=tied,
            biases=(own or qwen, own and not qwen, bool(config.get("mlp_bias"))),
            head_norms=kind == "CoDA" or bool(config.get("qk_layernorm")),
            mixture=config.get("mixture"),
            max_position_embeddings=config.get("max_position_embeddings", 2048),
            rope={"rope_theta": config.get("rope_theta", 10_000.0), **rope},
            shifted=convention is None or convention.shifted,
            in_one_sequence=convention is not None,
        )


def _require_plain(config: Mapping[str, Any]) -> None:
    layers, windows = config["num_hidden_layers"], config.get("layer_types") or ()
    if layers > _MOST_LAYERS:
        raise ValueError(f"it has {layers} layers, as no model has")
    slides = config.get("use_sliding_window") and config.get("max_window_layers", layers) < layers
    if slides or any(layer != "full_attention" for layer in windows):
        raise ValueError("the masked family runs no model with a sliding window")
    if config.get("hidden_act", "silu") != "silu":
        raise ValueError(f"the masked family runs no model with the activation {config['hidden_act']}")


_LLADA: Mapping[str, str] = {
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads",
    "intermediate_size": "mlp_hidden_size",
    "hidden_act": "activation_type",
    "max_position_embeddings": "max_sequence_length",
    "rms_norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "mlp_bias": "include_bias",
    "attention_bias": "include_bias",
    "tie_word_embeddings": "weight_tying",
}
"""The usual name of a value -> LLaDA's."""

_LLADA_FIXED: Mapping[str, Any] = {
    "block_type": "llama",
    "layer_norm_type": "rms",
    "rope": True,
    "alibi": False,
    "attention_layer_norm": False,
    "bias_for_layer_norm": False,
    "include_bias": False,
    "include_qkv_bias": False,
    "input_emb_norm": False,
    "scale_logits": False,
}
"""The options of LLaDA's code that the published models chose; with these, its layers are Llama's."""


def _with_usual_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """LLaDA's config under the usual names. Raises `ValueError` for an option that changes the computation."""
    for name, value in _LLADA_FIXED.items():
        if (config.get(name) or False) != value:
            raise ValueError(f"the masked family runs no LLaDA with {name} {config.get(name)!r}")
    usual = {name: config[own] for name, own in _LLADA.items() if own in config}
    rows = config.get("embedding_size") or config["vocab_size"]
    return {"rms_norm_eps": 1e-5, **usual, "vocab_size": rows}


def _of_a_mixture(config: Mapping[str, Any]) -> dict[str, Any]:
    """LLaDA-MoE's config, with its experts. Raises `ValueError` for an option that changes the computation."""
    refused = {
        "clip_qkv": config.get("clip_qkv"),
        "shared_expert_intermediate_size": config.get("shared_expert_intermediate_size"),
        "moe_router_enable_expert_bias": config.get("moe_router_enable_expert_bias"),
        "moe_layer_freq": any(each != 1 for each in config.get("moe_layer_freq") or ()),
        "partial_rotary_factor": config.get("partial_rotary_factor") not in (None, -1, 1, 1.0),
    }
    for name, on in refused.items():
        if on:
            raise ValueError(f"the masked family runs no LLaDA-MoE with {name} {config[name]!r}")
    experts = config["num_experts"]
    if experts > _MOST_EXPERTS:
        raise ValueError(f"it has {experts} experts in a layer, as no model has")
    mixture = Mixture(experts, config["num_experts_per_tok"], config["expert_intermediate_size"])
    return {**config, "intermediate_size": config["expert_intermediate_size"], "mixture": mixture}


_LLADA_BLOCK = re.compile(r"model\.transformer\.blocks\.(\d+)\.(\w+)\.(weight|bias)")
_LLADA_TENSORS = {
    "attn_norm": "input_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_norm": "post_attention_layernorm",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}
_LLADA_ENDS = {
    "model.transformer.wte.weight": "model.embed_tokens.weight",
    "model.transformer.ln_f.weight": "model.norm.weight",
    "model.transformer.ff_out.weight": "lm_head.weight",
}


def usual_name(stored: str) -> str:
    """The name of a stored tensor's slot: LLaDA's tensors are Llama's, one to one, under other names."""
    block = _LLADA_BLOCK.fullmatch(stored)
    if block is not None and block[2] in _LLADA_TENSORS:
        return f"model.layers.{block[1]}.{_LLADA_TENSORS[block[2]]}.{block[3]}"
    return _LLADA_ENDS.get(stored, stored)
