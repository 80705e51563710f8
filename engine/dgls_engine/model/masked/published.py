"""The published mask diffusion models whose rows all see each other, and what each of them needs.

    convention_of(config)       # by the names in `config.json`; None for another model

What a checkpoint's own files say wins: `mask_token_id` and `expand_token_id` in its configs, the roles in its
`tokenizer_config.json`. The rest is in none of its files: whether row i predicts token i or i + 1, which rule decides a
step's tokens, what stands around the code. docs/families.md shows the table and says how each value was found. Imports
no torch; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dgls_engine.profile import Decoding


@dataclass(frozen=True, slots=True)
class Convention:
    """One model. `mask`: its mask token, by spelling or id, if its config does not name one. `shifted`: row i predicts
    token i + 1. `enclosed`: its prompts stand between the tokenizer's start and end token. `context`: the tokens of the
    longest text that it was trained or evaluated on. `commercial`: whether the licence is known to allow such use."""

    name: str
    architecture: str
    model_types: tuple[str, ...]
    mask: str | int
    shifted: bool
    decoding: Decoding
    context: int
    licence: str
    commercial: bool
    enclosed: bool = False
    grows: bool = False
    languages: tuple[str, ...] = ()
    """Languages, by their LSP ids, if its card names those that it was trained on. No such card was seen."""
    own_code: str = ""
    """What `auto_map` names, if only that tells the model from an autoregressive one of the same architecture."""


CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="fredzzp/open-dcoder-0.5B",
        architecture="Qwen2ForCausalLM",
        model_types=("qwen2",),
        mask="<M>",
        shifted=True,
        decoding="remask",
        context=2048,
        licence="Apache-2.0",
        commercial=True,
        own_code="modeling_qwen2.Qwen2ForCausalLM",
    ),
    Convention(
        name="dllm-hub/Qwen2.5-Coder-0.5B-Instruct-diffusion-mdlm-v0.1",
        architecture="A2DQwen2LMHeadModel",
        model_types=("a2d-qwen2",),
        mask="<|mask|>",
        shifted=False,
        decoding="confidence",
        context=512,
        licence="Apache-2.0",
        commercial=True,
    ),
    Convention(
        name="Salesforce/CoDA-v0-Instruct",
        architecture="CoDALanguageModel",
        model_types=("CoDA",),
        mask=151669,
        shifted=True,
        decoding="entropy",
        context=4096,
        licence="CC-BY-NC-4.0",
        commercial=False,
    ),
    Convention(
        name="Dream-org/DreamOn-v0-7B",
        architecture="DreamModel",
        model_types=("Dream",),
        mask=151666,
        shifted=True,
        decoding="entropy",
        context=2048,
        licence="Apache-2.0",
        commercial=True,
        enclosed=True,
        grows=True,
    ),
    Convention(
        name="Dream-org/Dream-Coder-v0-Instruct-7B",
        architecture="DreamModel",
        model_types=("Dream",),
        mask=151666,
        shifted=True,
        decoding="entropy",
        context=2048,
        licence="Apache-2.0",
        commercial=True,
    ),
    Convention(
        name="apple/DiffuCoder-7B-cpGRPO",
        architecture="DreamModel",
        model_types=("Dream",),
        mask=151666,
        shifted=True,
        decoding="entropy",
        context=2048,
        licence="unclear",
        commercial=False,
    ),
    Convention(
        name="GSAI-ML/LLaDA-8B-Instruct",
        architecture="LLaDAModelLM",
        model_types=("llada",),
        mask=126336,
        shifted=False,
        decoding="confidence",
        context=4096,
        licence="MIT",
        commercial=True,
    ),
    Convention(
        name="inclusionAI/LLaDA-MoE-7B-A1B-Instruct",
        architecture="LLaDAMoEModelLM",
        model_types=("llada", "lladamoe"),
        mask=156895,
        shifted=False,
        decoding="confidence",
        context=4096,
        licence="not seen",
        commercial=False,
    ),
)

_DREAM: Mapping[str, Any] = {
    "architectures": ["DreamModel"],
    "model_type": "Dream",
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "expand_token_id": 151_667,
    "tie_word_embeddings": False,
}
_DCODER: Mapping[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "auto_map": {"AutoModelForCausalLM": "modeling_qwen2.Qwen2ForCausalLM"},
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
FILLS_CODE: Mapping[str, Mapping[str, Any]] = {
    "Dream-org/DreamOn-v0-7B": _DREAM,
    "fredzzp/open-dcoder-0.5B": _DCODER,
}
"""The sizes in the configs of models that were trained to fill holes in code and may be used commercially; one of each
size, the largest first. Those of Qwen2.5, on which they are built."""

BLOCKWISE: Mapping[str, str] = {
    "Fast_dLLM_QwenForCausalLM": "Fast-dLLM v2",
    "SDARForCausalLM": "SDAR",
    "SDARMoeForCausalLM": "SDAR",
    "StableDiffcoderForCausalLM": "Stable-DiffCoder",
    "LLaDA2MoeModelLM": "LLaDA2",
    "DreamForCausalLM": "Dream-Reasoner",
}
"""Architectures that fill one block after another, from left to right, without seeing what stands behind the block."""

_BLOCK_KEYS = ("block_size", "bd_size")
"""Keys of a config that only such models have."""


def convention_of(config: Mapping[str, Any]) -> Convention | None:
    """The row of the table for a `config.json`. Models of one architecture that share their conventions share the first
    row that fits."""
    architectures, kind = _architectures(config), config.get("model_type")
    grows = expand_token(config) is not None
    for each in CONVENTIONS:
        named = each.architecture in architectures and kind in each.model_types and each.grows == grows
        if named and (not each.own_code or each.own_code in _own_code(config)):
            return each
    return None


def blockwise(config: Mapping[str, Any]) -> str | None:
    """The name of the block diffusion model that a config describes; None if it describes another model."""
    architectures = _architectures(config)
    known = next((BLOCKWISE[name] for name in architectures if name in BLOCKWISE), None)
    if known is None and convention_of(config) is not None and any(config.get(key) for key in _BLOCK_KEYS):
        return architectures[0]
    return known


def _architectures(config: Mapping[str, Any]) -> list[str]:
    named = config.get("architectures")
    return [str(name) for name in named] if isinstance(named, list) else []


def expand_token(config: Mapping[str, Any]) -> int | None:
    """The id of the token that makes a hole longer."""
    token = config.get("expand_token_id")
    return token if isinstance(token, int) else None


def _own_code(config: Mapping[str, Any]) -> list[object]:
    mapped = config.get("auto_map")
    return list(mapped.values()) if isinstance(mapped, Mapping) else []
