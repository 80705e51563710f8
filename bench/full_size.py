"""A model of the published model's size with random weights, for benchmarks without the checkpoint.

The weights are made on the device; nothing is downloaded. The tokenizer is the embedded model's, with a vocabulary that
is padded to the full size, so that prompts have about as many tokens as real ones. `small` shrinks all parts, but keeps
their kinds: sliding and global layers, keys used as values, experts, the soft cap.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dgls_engine.device import device_name, pick_device
from dgls_engine.model_files import read_json
from dgls_engine.profile import ModelInfo
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.checkpoint import require_family
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.weights.loader import LoadedModel
from dgls_engine.weights.profiles import read_profile
from dgls_engine.weights.random_weights import random_model

PUBLISHED: Mapping[str, Any] = {
    "vocab_size": 262_144,
    "hidden_size": 2816,
    "intermediate_size": 2112,
    "num_hidden_layers": 30,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "num_global_key_value_heads": 2,
    "head_dim": 256,
    "global_head_dim": 512,
    "sliding_window": 1024,
    "num_experts": 128,
    "top_k_experts": 8,
    "moe_intermediate_size": 704,
    "max_position_embeddings": 262_144,
}
"""The checkpoint's `text_config`; the defaults of the config class differ from it."""

SMALL: Mapping[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_global_key_value_heads": 1,
    "head_dim": 32,
    "global_head_dim": 64,
    "sliding_window": 128,
    "num_experts": 8,
    "top_k_experts": 2,
    "moe_intermediate_size": 64,
    "max_position_embeddings": 4096,
}

SPECIALS = {
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "bos_token": "<bos>",
    "sot_token": "<|turn>",
    "eot_token": "<turn|>",
    "soc_token": "<|channel>",
    "eoc_token": "<channel|>",
}

CHAT_TEMPLATE = """\
{{ bos_token }}{%- for message in messages -%}<|turn>{{ message['role'] }}
{{ message['content'] | trim }}<turn|>
{% endfor %}{%- if add_generation_prompt -%}<|turn>model
<|channel>thought
<channel|>{%- endif -%}
"""


def config(small: bool) -> dict[str, Any]:
    """A `config.json`; the vision tower in it is never built."""
    tower = {"model_type": "gemma4_vision", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    return {
        "architectures": ["DiffusionGemmaForBlockDiffusion"],
        "model_type": "diffusion_gemma",
        "canvas_length": 256,
        "text_config": dict(SMALL if small else PUBLISHED) | {"final_logit_softcapping": 30.0},
        "vision_config": tower | {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 16},
    }


def write_folder(folder: Path, small: bool) -> Path:
    """Write a checkpoint's folder without weights. Returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    content = config(small)
    files: dict[str, object] = {
        "config.json": content,
        "tokenizer.json": _tokenizer(content["text_config"]["vocab_size"]),
        "tokenizer_config.json": SPECIALS,
        "generation_config.json": {"max_denoising_steps": 48, "pad_token_id": 0},
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return folder


def _tokenizer(size: int) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((embedded_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    pattern = dict(spec["added_tokens"][0])
    start = max(vocabulary.values()) + 1
    spec["added_tokens"] = [
        pattern | {"id": id, "content": spelling} for id, spelling in enumerate(SPECIALS.values(), start)
    ]
    # No merge produces these, so no text is encoded with them; a model can still generate them.
    for id in range(start + len(SPECIALS), size):
        vocabulary[f"Ġunseen_{id}"] = id
    return spec


def open_random(folder: Path, precision: str, device: str, prompt_tokens: int, policy: str) -> LoadedModel:
    """The model of `folder` with random weights. A request always takes its maximum of steps."""
    started = time.perf_counter()
    target, content = pick_device(device), read_json(folder / "config.json")
    model, profile = random_model(content, target, precision), read_profile(folder)
    parameters, weight_bytes = counted(model)
    info = ModelInfo(
        name=f"random weights, {precision}",
        parameters=parameters,
        weight_bytes=weight_bytes,
        device=str(target),
        device_name=device_name(target),
        dtype=precision,
        load_ms=(time.perf_counter() - started) * 1000,
        profile=profile,
    )
    tokenizer = Tokenizer(folder / "tokenizer.json")
    dtype = next(model.parameters()).dtype
    loaded = LoadedModel(require_family(content, folder), model, tokenizer, profile, target, dtype, info, folder)
    return loaded.with_profile({"confidence_threshold": 0.0, "max_prompt_tokens": prompt_tokens, "hole_policy": policy})


def counted(model: torch.nn.Module) -> tuple[int, int]:
    """The number of weights and their bytes, packed ones included; tied weights count once."""
    tensors = {tensor.data_ptr(): tensor for tensor in [*model.parameters(), *model.buffers()]}.values()
    return sum(tensor.numel() for tensor in tensors), sum(tensor.nbytes for tensor in tensors)
