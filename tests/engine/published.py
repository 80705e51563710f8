"""Small random checkpoints in the shapes of published mask diffusion models, and a slow reference of their logits.

Configs, names of tensors and tokenizer files are those of the published folders in miniature. The reference is written
from the publishers' descriptions in plain PyTorch, in float64 and row by row; it shares no code with the engine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.engine.checkpoints import byte_level_tokenizer

PAD, START, MASK, EXPAND = "<|endoftext|>", "<|beginoftext|>", "<|mask|>", "<|expand|>"
_SPECIALS = (PAD, START, MASK, EXPAND)

_HIDDEN, _INNER, _LAYERS, _HEADS, _KEYS = 32, 48, 3, 4, 2

_QWEN: dict[str, Any] = {
    "hidden_size": _HIDDEN,
    "intermediate_size": _INNER,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": _HEADS,
    "num_key_value_heads": _KEYS,
    "hidden_act": "silu",
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "use_sliding_window": False,
    "sliding_window": None,
    "max_window_layers": _LAYERS,
    "pad_token_id": 0,
}

_DREAM: dict[str, Any] = {
    **_QWEN,
    "architectures": ["DreamModel"],
    "model_type": "Dream",
    "auto_map": {"AutoConfig": "configuration_dream.DreamConfig", "AutoModel": "modeling_dream.DreamModel"},
    "mask_token_id": 2,
    "tie_word_embeddings": False,
}

CONFIGS: Mapping[str, dict[str, Any]] = {
    "open-dcoder": {
        **_QWEN,
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "auto_map": {"AutoModelForCausalLM": "modeling_qwen2.Qwen2ForCausalLM"},
        "trust_remote_code": True,
        "tie_word_embeddings": True,
    },
    "mdlm": {
        **_QWEN,
        "architectures": ["A2DQwen2LMHeadModel"],
        "model_type": "a2d-qwen2",
        "auto_map": {"AutoModel": "modeling_qwen2.A2DQwen2LMHeadModel"},
        "layer_types": ["full_attention"] * _LAYERS,
        "tie_word_embeddings": True,
    },
    "coda": {
        **_QWEN,
        "architectures": ["CoDALanguageModel"],
        "model_type": "CoDA",
        "auto_map": {"AutoConfig": "model_config.CoDAConfig", "AutoModel": "modeling_coda.CoDALanguageModel"},
        "attention_bias": False,
        "head_dim": _HIDDEN // _HEADS,
        "mask_token_id": 2,
        "mask_block_sizes": [4, 8, 16, 32],
    },
    "dream-coder": _DREAM,
    "dreamon": {**_DREAM, "eos_token_id": 0},
    "diffucoder": _DREAM,
    "llada": {
        "architectures": ["LLaDAModelLM"],
        "model_type": "llada",
        "auto_map": {"AutoConfig": "configuration_llada.LLaDAConfig", "AutoModel": "modeling_llada.LLaDAModelLM"},
        "d_model": _HIDDEN,
        "n_layers": _LAYERS,
        "n_heads": _HEADS,
        "n_kv_heads": _HEADS,
        "mlp_ratio": 4,
        "mlp_hidden_size": _INNER,
        "activation_type": "silu",
        "block_type": "llama",
        "layer_norm_type": "rms",
        "layer_norm_with_affine": True,
        "rms_norm_eps": 1e-5,
        "rope": True,
        "rope_full_precision": True,
        "rope_theta": 500_000.0,
        "alibi": False,
        "attention_layer_norm": False,
        "bias_for_layer_norm": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "input_emb_norm": False,
        "scale_logits": False,
        "weight_tying": False,
        "max_sequence_length": 1024,
        "mask_token_id": 2,
        "eos_token_id": 0,
        "pad_token_id": 0,
    },
    "llada-moe": {
        "architectures": ["LLaDAMoEModelLM"],
        "model_type": "llada",
        "auto_map": {"AutoModelForCausalLM": "modeling_lladamoe.LLaDAMoEModelLM"},
        "hidden_size": _HIDDEN,
        "dense_intermediate_size": 64,
        "expert_intermediate_size": 16,
        "shared_expert_intermediate_size": None,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "rope_theta": 50_000.0,
        "partial_rotary_factor": 1,
        "attention_bias": False,
        "clip_qkv": None,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "norm_topk_prob": None,
        "qk_layernorm": True,
        "moe_layer_freq": [1] * _LAYERS,
        "moe_router_enable_expert_bias": None,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "eos_token_id": 0,
    },
}

KINDS = tuple(CONFIGS)
SHIFTED = frozenset({"open-dcoder", "coda", "dream-coder", "dreamon", "diffucoder"})
_OLDER_TOKENIZER = frozenset({"dream-coder", "dreamon", "diffucoder"})


def published_checkpoint(folder: Path, kind: str, *, seed: int = 0, sharpness: float = 1.0, **infill: Any) -> Path:
    """A checkpoint as published, in miniature. `infill` are values for an `infill.json`, which none of them has; it
    says at least how long the miniature's canvas is, and that each pass is exact. Returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    mask = "<M>" if kind == "open-dcoder" else MASK
    tokenizer = byte_level_tokenizer([mask if name == MASK else name for name in _SPECIALS])
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    config = {**CONFIGS[kind], "vocab_size": size}
    if kind == "llada":
        config["embedding_size"] = size
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if kind == "dreamon":
        generation = {"mask_token_id": 2, "expand_token_id": 3, "delete_token_id": 0}
        (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    roles = {"pad_token": PAD, "eos_token": PAD, "bos_token": START, "mask_token": mask}
    if kind in _OLDER_TOKENIZER:
        model = json.loads(tokenizer.to_str())["model"]
        special = {id: name for name, id in model["vocab"].items() if name in _SPECIALS}
        plain = {name: id for name, id in model["vocab"].items() if id not in special}
        (folder / "vocab.json").write_text(json.dumps(plain), encoding="utf-8")
        (folder / "merges.txt").write_text(
            "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in model["merges"]), encoding="utf-8"
        )
        decoder = {str(id): {"content": name, "special": True} for id, name in special.items()}
        roles |= {"added_tokens_decoder": decoder}  # type: ignore[dict-item]
    else:
        tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(roles), encoding="utf-8")
    (folder / "modeling_own.py").write_text("raise SystemExit('the code of a checkpoint was run')\n", encoding="utf-8")
    save_file(weights_of(kind, size, seed, sharpness), folder / "model.safetensors", {"format": "pt"})
    values = {"canvas_tokens": 48, "before_tokens": 8, "after_tokens": 8, "max_prompt_tokens": 128}
    values |= {"refresh_steps": 1} | infill
    if kind == "llada-moe":
        values["mask_token"] = 2  # the published id is not in its files, and not in a small vocabulary
    (folder / "infill.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def weights_of(kind: str, vocabulary: int, seed: int = 0, sharpness: float = 1.0) -> dict[str, Tensor]:
    """Random tensors under the published names."""
    generator = torch.Generator().manual_seed(seed)

    def matrix(out: int, inner: int) -> Tensor:
        return torch.randn(out, inner, generator=generator) / inner**0.5

    def vector(size: int, around: float) -> Tensor:
        return around + 0.2 * torch.randn(size, generator=generator)

    config = CONFIGS[kind]
    names = _names(kind)
    keys = config.get("num_key_value_heads", config.get("n_kv_heads")) * (_HIDDEN // _HEADS)
    tensors = {names["embedding"]: torch.randn(vocabulary, _HIDDEN, generator=generator)}
    for layer in range(_LAYERS):
        own = {part: name.format(layer) for part, name in names.items()}
        tensors |= {own["before"]: vector(_HIDDEN, 1.0), own["between"]: vector(_HIDDEN, 1.0)}
        for part, out in (("q", _HIDDEN), ("k", keys), ("v", keys)):
            tensors[own[part]] = matrix(out, _HIDDEN)
            if kind in ("open-dcoder", "mdlm", "dream-coder", "dreamon", "diffucoder"):
                tensors[own[part].replace(".weight", ".bias")] = vector(out, 0.0)
        tensors[own["o"]] = matrix(_HIDDEN, _HIDDEN)
        if kind in ("coda", "llada-moe"):
            tensors |= {own[norm]: vector(_HIDDEN // _HEADS, 1.0) for norm in ("q_norm", "k_norm")}
        if kind == "llada-moe":
            tensors[own["router"]] = matrix(config["num_experts"], _HIDDEN)
        inner = config.get("expert_intermediate_size", _INNER)
        for expert in range(config.get("num_experts", 1)):
            for part, (out, size) in {
                "gate": (inner, _HIDDEN),
                "up": (inner, _HIDDEN),
                "down": (_HIDDEN, inner),
            }.items():
                tensors[own[part].replace("EXPERT", str(expert))] = matrix(out, size)
    tensors[names["last"]] = vector(_HIDDEN, 1.0)
    if kind == "open-dcoder":
        tensors[names["embedding"]] *= sharpness  # tied
    else:
        tensors[names["head"]] = sharpness * matrix(vocabulary, _HIDDEN)
    return tensors


def _names(kind: str) -> dict[str, str]:
    if kind == "llada":
        block = "model.transformer.blocks.{}."
        parts = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "attn_out", "before": "attn_norm"}
        parts |= {"between": "ff_norm", "gate": "ff_proj", "up": "up_proj", "down": "ff_out"}
        ends = {"embedding": "wte", "last": "ln_f", "head": "ff_out"}
        named = {part: f"model.transformer.{name}.weight" for part, name in ends.items()}
    else:
        block = "model.layers.{}."
        mlp = "mlp.experts.EXPERT" if kind == "llada-moe" else "mlp"
        attention = {part: f"self_attn.{part}_proj" for part in "qkvo"} | {
            norm: f"self_attn.{norm}" for norm in ("q_norm", "k_norm")
        }
        parts = attention | {part: f"{mlp}.{part}_proj" for part in ("gate", "up", "down")}
        parts |= {"before": "input_layernorm", "between": "post_attention_layernorm", "router": "mlp.gate"}
        named = {"embedding": "model.embed_tokens.weight", "last": "model.norm.weight", "head": "lm_head.weight"}
    return named | {part: f"{block}{name}.weight" for part, name in parts.items()}


def reference(kind: str, tensors: Mapping[str, Tensor], ids: Sequence[int]) -> Tensor:
    """The logits [rows, vocabulary] of a sequence in which each row sees each other, in float64."""
    config, names = CONFIGS[kind], _names(kind)
    weights = {name: tensor.double() for name, tensor in tensors.items()}
    epsilon = config["rms_norm_eps"]
    width = _HIDDEN // _HEADS

    def normed(row: Tensor, weight: Tensor) -> Tensor:
        return row / (row.square().mean() + epsilon).sqrt() * weight

    def product(name: str, row: Tensor) -> Tensor:
        bias = weights.get(name.replace(".weight", ".bias"))
        result = weights[name] @ row
        return result if bias is None else result + bias

    def turned(head: Tensor, position: int) -> Tensor:
        """Each pair of dimensions (i, i + d / 2) turns by its own angle."""
        out = head.clone()
        for pair in range(width // 2):
            angle = position / config["rope_theta"] ** (2 * pair / width)
            one, other = head[pair], head[pair + width // 2]
            out[pair] = one * math.cos(angle) - other * math.sin(angle)
            out[pair + width // 2] = other * math.cos(angle) + one * math.sin(angle)
        return out

    def fed(own: Mapping[str, str], row: Tensor) -> Tensor:
        def network(expert: int) -> Tensor:
            gate, up = (product(own[part].replace("EXPERT", str(expert)), row) for part in ("gate", "up"))
            return product(own["down"].replace("EXPERT", str(expert)), gate * torch.sigmoid(gate) * up)

        if "num_experts" not in config:
            return network(0)
        weight = product(own["router"], row).softmax(0)
        likeliest = weight.argsort(descending=True)[: config["num_experts_per_tok"]].tolist()
        return sum((weight[expert] * network(expert) for expert in likeliest), torch.zeros_like(row))

    rows = [weights[names["embedding"]][id] for id in ids]
    for layer in range(_LAYERS):
        own = {part: name.format(layer) for part, name in names.items()}
        queries, keys, values = [], [], []
        for position, row in enumerate(rows):
            inner = normed(row, weights[own["before"]])
            q, k, v = (product(own[part], inner).view(-1, width) for part in "qkv")
            if own.get("q_norm") in weights:
                q = torch.stack([normed(head, weights[own["q_norm"]]) for head in q])
                k = torch.stack([normed(head, weights[own["k_norm"]]) for head in k])
            queries.append(torch.stack([turned(head, position) for head in q]))
            keys.append(torch.stack([turned(head, position) for head in k]))
            values.append(v)
        shared = _HEADS // keys[0].shape[0]
        for number, query in enumerate(queries):
            mixed = []
            for head in range(_HEADS):
                seen = torch.stack([key[head // shared] for key in keys])
                weight = (seen @ query[head] / math.sqrt(width)).softmax(0)
                mixed.append(weight @ torch.stack([value[head // shared] for value in values]))
            rows[number] = rows[number] + product(own["o"], torch.cat(mixed))
        rows = [row + fed(own, normed(row, weights[own["between"]])) for row in rows]
    head = weights.get(names["head"], weights[names["embedding"]])
    return torch.stack([head @ normed(row, weights[names["last"]]) for row in rows])
