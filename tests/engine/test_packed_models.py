"""Masked models with packed weights compute what float32 models with the unpacked weights compute, and fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned
from dgls_engine.errors import UnsupportedModel
from dgls_engine.model.families import family_of
from dgls_engine.model.masked.prompt import Buffers
from dgls_engine.model.packing import Packing, pack_rows, unpack
from dgls_engine.model.slots import slots
from dgls_engine.weights import packed_layers
from dgls_engine.weights.checkpoint import read_checkpoint
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import masked_checkpoint
from tests.engine.published import published_checkpoint

KINDS = ["llama", "dreamon", "llada-moe"]
"""With a tied head, with biases and a head of its own, with experts."""
PACKINGS: list[Packing] = ["float16", "int8", "fp8", "int4"]

DREAM: dict[str, Any] = {
    "architectures": ["DreamModel"],
    "model_type": "Dream",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152_064,
    "max_position_embeddings": 131_072,
    "tie_word_embeddings": False,
}
"""The published sizes of Dream-Coder 7B, DreamOn and DiffuCoder: those of Qwen2.5 7B."""

QWEN: dict[str, Any] = {
    "architectures": ["A2DQwen2LMHeadModel"],
    "model_type": "a2d-qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": False,
}
"""Qwen2.5-Coder 0.5B with a head of its own."""


def checkpoint_of(folder: Path, kind: str) -> Path:
    folder.mkdir()
    return masked_checkpoint(folder, kind, rank=0) if kind in ("llama", "qwen2") else published_checkpoint(folder, kind)


def unpacked_checkpoint(folder: Path, source: Path, packing: Packing) -> Path:
    """The model in `source` with the weights that the packed ones represent."""
    checkpoint = read_checkpoint(source)
    tensors = load_file(source / "model.safetensors")
    own_name = {checkpoint.family.slot_name(stored): stored for stored in tensors}
    for site in checkpoint.family.sites(slots(checkpoint.family.build(checkpoint.config, checkpoint.shapes)), packing):
        (slot,) = site.slots
        for stored in (own_name[name] for name in slot.names if name in own_name):
            packed = pack_rows(tensors[stored].float(), site.packing(packing))
            tensors[stored] = unpack(packed, torch.float32)[0].contiguous()
    folder.mkdir()
    for file in source.iterdir():
        if file.name != "model.safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@torch.inference_mode()
def logits(loaded: LoadedModel, ids: Sequence[int]) -> Tensor:
    model, count = loaded.model, len(ids)
    seen = torch.ones(1, 1, count, count, dtype=torch.bool)
    embedded = model.model.embed_tokens(torch.tensor([list(ids)]))
    hidden = Buffers.empty(model, count).through(embedded, torch.arange(count)[None], seen, True)[0]
    result: Tensor = model.lm_head(model.model.norm(hidden))
    return result


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_packed_model_has_logits_of_unpacked_weights(tmp_path: Path, kind: str, packing: Packing) -> None:
    source = checkpoint_of(tmp_path / "source", kind)
    ids = range(20, 50)
    packed, plain = load(source, "cpu", packing), load(source, "cpu", "float32")
    expected = logits(load(unpacked_checkpoint(tmp_path / "unpacked", source, packing), "cpu", "float32"), ids)
    got = logits(packed, ids)
    assert (got - expected).norm() < 2e-3 * expected.norm()
    assert (got - expected).norm() < 0.5 * (logits(plain, ids) - expected).norm() or packing == "float16"
    assert packed.info.dtype == packing
    assert not [name for name, _ in packed.model.named_parameters() if name.endswith("_proj.weight")]


@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_model_with_adapter_fills_a_hole(tmp_path: Path, packing: Packing) -> None:
    """Its adapter is folded before the weights are packed."""
    folder, ids = masked_checkpoint(tmp_path, "qwen2", rank=4), range(20, 50)
    packed, plain = load(folder, "cpu", packing), load(folder, "cpu", "float32")
    apart = (logits(packed, ids) - logits(plain, ids)).norm() / logits(plain, ids).norm()
    assert apart < {"float16": 2e-3, "int8": 0.02, "fp8": 0.1, "int4": 0.3}[packing]
    request = InfillRequest(Context(above="x = 1"), [Pinned("y = "), Hole(max_tokens=3), Pinned("")])
    assert len(list(Engine(packed).infill(request))) > 1


def test_load_packed_dense_layers_are_kept_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(packed_layers, "WORTH_KEEPING", 1)
    source = checkpoint_of(tmp_path / "source", "dreamon")
    first = logits(load(source, "cpu", "int4"), range(20, 50))
    monkeypatch.setattr("dgls_engine.weights.streaming.pack", None)
    assert torch.equal(logits(load(source, "cpu", "int4"), range(20, 50)), first)


def test_load_int8_where_no_cpu_multiplies_it_names_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgls_engine.weights.precision.has_fbgemm", lambda: False)
    with pytest.raises(UnsupportedModel, match="take fp8, or bfloat16"):
        load(masked_checkpoint(tmp_path), "cpu", "int8")


def total(config: dict[str, Any], precision: str, plain_bytes: int, prompt: int) -> float:
    family = family_of(config)
    assert family is not None
    return family.size(config).footprint(precision, plain_bytes, prompt).total / 1e9


def test_footprint_7b_in_int4_fits_6_gb() -> None:
    assert total(DREAM, "bfloat16", 2, 1856) > 15
    assert total(DREAM, "fp8", 2, 1856) > 7
    assert total(DREAM, "int4", 2, 1856) < 6


def test_footprint_half_a_billion_in_int8_fits_a_laptop() -> None:
    assert total(QWEN, "float32", 4, 320) > 2.5
    assert total(QWEN, "float16", 4, 320) < 1.8
    assert total(QWEN, "int8", 4, 320) < 1.2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packing", ["fp8", "int4"])
def test_footprint_packed_weights_match_loaded_ones(tmp_path: Path, kind: str, packing: str) -> None:
    loaded = load(checkpoint_of(tmp_path / "source", kind), "cpu", packing)
    checkpoint = read_checkpoint(loaded.folder)
    size = checkpoint.family.size(checkpoint.config, checkpoint.shapes)
    weights = size.footprint(packing, 4, 0).weights
    assert loaded.info.weight_bytes <= weights < 1.05 * loaded.info.weight_bytes
