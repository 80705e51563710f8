"""The fused layers of masked models against transformers' modules, in bfloat16, where weights are packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from dgls_engine.weights.loader import load
from tests.engine.checkpoints import masked_checkpoint


def through_modules(model: Any, embedded: Tensor) -> Tensor:
    rotary = model.model.rotary_emb(embedded, torch.arange(embedded.shape[1])[None])
    causal = torch.full((embedded.shape[1],) * 2, -torch.inf, dtype=embedded.dtype).triu(1)[None, None]
    for layer in model.model.layers:
        embedded = layer(embedded, attention_mask=causal, position_embeddings=rotary)
    return embedded


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("adapted", [False, True], ids=["base", "with the adapter"])
@torch.inference_mode()
def test_layers_in_bfloat16_give_what_modules_give(tmp_path: Path, kind: str, adapted: bool) -> None:
    folder = masked_checkpoint(tmp_path, kind, rank=4)
    stock: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    if adapted:
        own = load_file(folder / "adapter.safetensors")
        for name, weight in stock.named_parameters():
            if (layer := name.removesuffix(".weight")) + ".lora_A.weight" in own:
                weight.data += own[f"{layer}.lora_B.weight"] @ own[f"{layer}.lora_A.weight"]
    model = load(folder, "cpu", "bfloat16").model
    rows, config = 5, model.config
    embedded = torch.randn(1, rows, config.hidden_size, generator=torch.Generator().manual_seed(0))
    causal = torch.ones(rows, rows, dtype=torch.bool).tril()[None, None]
    width = config.hidden_size // config.num_attention_heads
    states = [torch.zeros(1, 2 * config.num_key_value_heads, rows, width, dtype=torch.bfloat16)] * len(
        stock.model.layers
    )
    positions = torch.arange(rows)[None]
    expected = through_modules(stock, embedded)

    def error(with_adapter: bool) -> float:
        ours = model.fused.through(embedded.bfloat16(), positions, causal, states, with_adapter).float()
        return float((ours - expected).abs().max() / expected.abs().max())

    assert error(adapted) < 0.02
    assert error(not adapted) > 2 * error(adapted), "the adapter makes a difference"
