"""Small random checkpoints on disk, shaped like the real ones in miniature: what the engine's tests load.

Same seed, same files. Every part of the real model is there: sliding and global layers with other heads and
other widths, keys = values in the global ones, several experts of which a few are active, the soft-cap, tied
weights, and for the chat one a vision tower and a chat template.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    DiffusionGemmaConfig,
    DiffusionGemmaForBlockDiffusion,
    DiffusionGemmaTextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.gemma4.configuration_gemma4 import Gemma4VisionConfig

from dgls_engine.profile import Profile

MASKED_SPECIALS = ("<|pad|>", "<|start|>", "<|mask|>")
RAW_SPECIALS = ("<|pad|>", "<|below|>", "<|above|>")
CHAT_SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>")
WORDS = re.findall(
    r"\w+",
    "def return self import from class if else for in while not and or None True False print range len int str "
    "value name data result item items list dict add sub total count index key file path open read write main",
)

SLIDING_WINDOW = 16

CHAT_TEMPLATE = """\
{{ bos_token }}
{%- for message in messages -%}
<|turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}
{{ message['content'] | trim }}<turn|>
{% endfor %}
{%- if add_generation_prompt -%}
<|turn>model
{% if not enable_thinking | default(false) and EMPTY_THOUGHT -%}
<|channel>thought
<channel|>{% endif %}
{%- endif -%}
"""
"""In the manner of Gemma 4's: each turn between its tokens, the content trimmed, and with thinking off an empty
thought (which the templates of some sizes write and others don't)."""


def raw_checkpoint(
    folder: Path, *, seed: int = 0, sharpness: float = 1.0, canvas_length: int = 48, dtype: torch.dtype = torch.float32
) -> Path:
    """A model prompted in the `raw` format, with its `infill.json`, as the embedded one is. Returns `folder`.

    `sharpness` scales the tied embedding, so the logits: at 1 they are nearly flat, at 60 each row
    has clear favourites.
    """
    _save(byte_level_tokenizer(), folder, {"pad_token": "<|pad|>"})
    _save_model(folder, seed, sharpness, canvas_length, dtype, vision=False)
    Profile(
        prompt_format="raw",
        hole_policy="pad",
        canvas_tokens=canvas_length,
        max_prompt_tokens=64,
        before_tokens=canvas_length // 3,
        after_tokens=canvas_length // 4,
        max_steps=16,
    ).save(folder)
    return folder


def speak_ascii(folder: Path) -> Path:
    """Let a sharp checkpoint say no byte that is no text by itself: what has one is no suggestion. Returns `folder`."""
    weights, tokenizer = load_file(folder / "model.safetensors"), Tokenizer.from_file(str(folder / "tokenizer.json"))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    foreign = [id for token, id in tokenizer.get_vocab().items() if token in alphabet and not " " < token <= "~"]
    for name, tensor in weights.items():
        if name.endswith("decoder.embed_tokens.weight"):
            tensor[foreign] = 0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def without_numbers(folder: Path) -> Path:
    """Put NaN into every weight of a checkpoint. Returns `folder`."""
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: torch.full_like(tensor, math.nan) for name, tensor in weights.items()}, folder / "model.safetensors"
    )
    return folder


def chat_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    sharpness: float = 1.0,
    canvas_length: int = 48,
    dtype: torch.dtype = torch.float32,
    template_writes_thought: bool = True,
) -> Path:
    """A model like the published one: a chat template and a vision tower, and no `infill.json`. Returns `folder`."""
    named = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    named |= {"sot_token": "<|turn>", "eot_token": "<turn|>", "soc_token": "<|channel>", "eoc_token": "<channel|>"}
    _save(sentencepiece_tokenizer(), folder, named)
    template = CHAT_TEMPLATE.replace("EMPTY_THOUGHT", "true" if template_writes_thought else "false")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    _save_model(folder, seed, sharpness, canvas_length, dtype, vision=True)
    return folder


def masked_checkpoint(
    folder: Path, kind: str = "llama", *, seed: int = 0, sharpness: float = 1.0, rank: int = 4, threshold: float = 0.5
) -> Path:
    """A masked model of the `kind` "llama" or "qwen2", with an adapter unless its `rank` is 0. Returns `folder`."""
    _save(byte_level_tokenizer(MASKED_SPECIALS), folder, {"pad_token": "<|pad|>", "bos_token": "<|start|>"})
    sizes: dict[str, Any] = {
        "vocab_size": Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size(with_added_tokens=True),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": kind == "llama",
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        llama = kind == "llama"
        model: Any = LlamaForCausalLM(LlamaConfig(**sizes)) if llama else Qwen2ForCausalLM(Qwen2Config(**sizes))
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.ndim == 1:  # norms start as ones and biases as zeros: make each of them tell if it gets lost
                    tensor += 0.1 * torch.randn_like(tensor)
            model.lm_head.weight.mul_(sharpness)
        adapter = _adapter(model, rank) if rank else {}
    model.save_pretrained(folder)
    if adapter:
        save_file(adapter, folder / "adapter.safetensors", {"format": "pt"})
    Profile(
        prompt_format="plain",
        hole_policy="fixed",
        canvas_tokens=48,
        max_prompt_tokens=256,
        before_tokens=1,
        after_tokens=0,
        max_steps=48,
        mask_token="<|mask|>",
        unmask_threshold=threshold,
    ).save(folder)
    return folder


def _adapter(model: Any, rank: int) -> dict[str, torch.Tensor]:
    adapter = {"model.mask_embedding": torch.randn(model.config.hidden_size)}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            adapter[f"{name}.lora_A.weight"] = torch.randn(rank, module.in_features) / module.in_features**0.5
            adapter[f"{name}.lora_B.weight"] = torch.randn(module.out_features, rank) * 0.1
    return adapter


def byte_level_tokenizer(specials: Sequence[str] = RAW_SPECIALS) -> Tokenizer:
    """Byte-level BPE: line breaks and runs of blanks stand alone, one space goes with the word after it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary, merges = _grow([*specials, *alphabet], [*WORDS, *("Ġ" + word for word in WORDS), "ĠĠĠĠĠĠĠĠ"])
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    pieces = Regex(r"\r?\n|[ \t]{2,}| ?[A-Za-z_]+| ?[0-9]+| ?[^\sA-Za-z0-9_]+|\s")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pieces, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    return tokenizer


def sentencepiece_tokenizer() -> Tokenizer:
    """Gemma's kind: U+2581 for a space, `<0xNN>` for bytes outside the vocabulary."""
    start = [*CHAT_SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)), "\n", "▁", *map(chr, range(33, 127))]
    vocabulary, merges = _grow(start, [*WORDS, *("▁" + word for word in WORDS), "▁▁▁▁▁▁▁▁"])
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    # The last one is special by its name in the config alone, as some are in Gemma's.
    for name in CHAT_SPECIALS:
        tokenizer.add_tokens([AddedToken(name, special=name != "<channel|>", normalized=False)])
    return tokenizer


def _grow(start: list[str], words: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary and the merges that spell each word from left to right."""
    vocabulary = {token: id for id, token in enumerate(start)}
    merges: list[tuple[str, str]] = []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    return vocabulary, merges


def _save(tokenizer: Tokenizer, folder: Path, named: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")


def _save_model(
    folder: Path, seed: int, sharpness: float, canvas_length: int, dtype: torch.dtype, vision: bool
) -> None:
    size = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size(with_added_tokens=True)
    config = _config(size, canvas_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DiffusionGemmaForBlockDiffusion(config)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.ndim == 1:  # norms and scalars start as ones: make each of them tell if it gets lost
                    tensor += 0.1 * torch.randn_like(tensor)
                elif name.endswith("decoder.embed_tokens.weight"):
                    tensor *= sharpness
    states = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
    if not vision:
        states = {name: tensor for name, tensor in states.items() if "vision" not in name}
    model.config.dtype = dtype
    model.save_pretrained(folder, state_dict=states)
    _write_generation_config(folder, vision)


def _config(vocabulary: int, canvas_length: int) -> DiffusionGemmaConfig:
    text: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "moe_intermediate_size": 16,
        "num_experts": 4,
        "top_k_experts": 2,
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "global_head_dim": 16,
        "num_global_key_value_heads": 1,
        "sliding_window": SLIDING_WINDOW,
        "max_position_embeddings": 4096,
        "final_logit_softcapping": 30.0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }
    vision = Gemma4VisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        position_embedding_size=16,
        patch_size=4,
    )
    return DiffusionGemmaConfig(
        text_config=DiffusionGemmaTextConfig(**text), vision_config=vision, canvas_length=canvas_length
    )


def _write_generation_config(folder: Path, chat: bool) -> None:
    values = {
        "max_denoising_steps": 16,
        "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.2},
        "t_min": 0.3,
        "t_max": 0.7,
        "stability_threshold": 1,
        "confidence_threshold": 0.01,
        "pad_token_id": 0,
        **({"bos_token_id": 2, "eos_token_id": [1, 5]} if chat else {}),
    }
    (folder / "generation_config.json").write_text(json.dumps(values, indent=2), encoding="utf-8")
