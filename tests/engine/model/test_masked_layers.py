"""The fused layers of masked models against transformers' modules, in bfloat16, where weights are packed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from dgls_engine.model.masked.modules import Shape, rotary
from dgls_engine.weights.loader import load
from tests.engine.checkpoints import masked_checkpoint


def through_modules(model: Any, embedded: Tensor) -> Tensor:
    rotary = model.model.rotary_emb(embedded, torch.arange(embedded.shape[1])[None])
    causal = torch.full((embedded.shape[1],) * 2, -torch.inf, dtype=embedded.dtype).triu(1)[None, None]
    for layer in model.model.layers:
        embedded = layer(embedded, attention_mask=causal, position_embeddings=rotary)
    return embedded


ROPES = [
    {"rope_theta": 500.0},
    {"rope_theta": 500.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    {
        "rope_theta": 500.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
]


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotary_gives_what_transformers_gives(rope: dict[str, Any], dtype: torch.dtype) -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
    config = {"model_type": "llama", "vocab_size": 8, "intermediate_size": 64, "num_hidden_layers": 1, **sizes, **rope}
    stock = LlamaRotaryEmbedding(LlamaConfig.from_dict(dict(config)))
    rows, positions = torch.zeros(2, 3, 64, dtype=dtype), torch.tensor([[0, 1, 2], [7, 90, 255]])
    ours = rotary(Shape.of(config), torch.device("cpu"))(rows, positions)
    for own, theirs in zip(ours, stock(rows, positions), strict=True):
        assert own.dtype == dtype
        assert torch.equal(own, theirs)


@pytest.mark.parametrize(
    "wrong", [{"hidden_act": "gelu"}, {"layer_types": ["sliding_attention"]}, {"use_sliding_window": True}]
)
def test_shape_of_what_the_family_does_not_run_raises(wrong: dict[str, Any]) -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "max_window_layers": 0}
    config = {"model_type": "qwen2", "vocab_size": 8, "intermediate_size": 64, "num_hidden_layers": 1, **sizes}
    Shape.of(config)
    with pytest.raises(ValueError, match="the masked family runs no model with"):
        Shape.of(config | wrong)


def test_masked_model_opens_without_transformers(tmp_path: Path) -> None:
    """Nor torch's compiler: both take seconds and 200 MB."""
    folder = masked_checkpoint(tmp_path, rank=4)
    program = f"""
import sys
from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned
request = InfillRequest(Context(above="x = 1"), [Pinned("y = "), Hole(max_tokens=3), Pinned("")])
print(len(list(Engine.open({str(folder)!r}, "cpu").infill(request))) > 0)
print(*({{"transformers", "sympy", "torch._dynamo"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


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
    states = [torch.zeros(1, 2 * config.num_key_value_heads, rows, config.head_dim, dtype=torch.bfloat16)] * len(
        stock.model.layers
    )
    positions = torch.arange(rows)[None]
    expected = through_modules(stock, embedded)

    def error(with_adapter: bool) -> float:
        ours = model.fused.through(embedded.bfloat16(), positions, causal, states, with_adapter).float()
        return float((ours - expected).abs().max() / expected.abs().max())

    assert error(adapted) < 0.02
    assert error(not adapted) > 2 * error(adapted), "the adapter makes a difference"
