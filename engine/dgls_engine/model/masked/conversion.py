"""Converts a GGUF file of a Llama model to a checkpoint folder: config, tokenizer, weights in bfloat16.

    convert(Path("SmolLM2-135M-Instruct.Q4_1.gguf"), folder)

GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) stores the rows of query and key projections as
interleaved rotary pairs; transformers needs the first half of a head's rows before the second half. Supports only the
features of SmolLM2's file: byte-level BPE with single digits, tied embeddings. Runs on the calling thread for some
seconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from dgls_engine.errors import BrokenCheckpoint

_CONTROL = 3
"""The token type of special tokens."""

_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(file: Path, folder: Path) -> None:
    """Write the checkpoint into the existing `folder`. Raises `BrokenCheckpoint` for any other kind of file."""
    from gguf import GGUFReader  # the import takes 0.2 s

    try:
        reader = GGUFReader(file)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
        config = _config(metadata)
        _tokenizer(metadata).save(str(folder / "tokenizer.json"))
        tensors = {_name(tensor.name): _values(tensor, config) for tensor in reader.tensors}
    except (KeyError, ValueError, IndexError) as error:
        raise BrokenCheckpoint(
            f"{file} is no GGUF file of a Llama model with a GPT-2 tokenizer ({error}); take another file"
        ) from None
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    special = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "pad_token": "padding_token_id"}
    tokens = metadata["tokenizer.ggml.tokens"]
    names = {role: tokens[metadata[f"tokenizer.ggml.{id}"]] for role, id in special.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _config(metadata: dict[str, Any]) -> dict[str, Any]:
    if metadata["general.architecture"] != "llama" or metadata["tokenizer.ggml.model"] != "gpt2":
        raise ValueError(f"{metadata['general.architecture']}, {metadata['tokenizer.ggml.model']}")
    heads, hidden = metadata["llama.attention.head_count"], metadata["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": hidden,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "max_position_embeddings": metadata["llama.context_length"],
        "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": metadata["llama.rope.freq_base"]},
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }


def _tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    tokens, merges = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"]
    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(tokens)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def _name(stored: str) -> str:
    if stored.startswith("blk."):
        _, layer, part, _ = stored.split(".")
        return f"model.layers.{layer}.{_LAYER[part]}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[stored]


def _values(tensor: Any, config: dict[str, Any]) -> Tensor:
    from gguf.quants import dequantize

    values = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
    for part, heads in (("attn_q", config["num_attention_heads"]), ("attn_k", config["num_key_value_heads"])):
        if f".{part}." in tensor.name:
            rows, columns = values.shape
            values = values.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
    return values.to(torch.bfloat16)
