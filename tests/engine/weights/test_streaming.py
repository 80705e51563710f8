"""Packing needs memory for the result and for a slice of one layer, however large the experts are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.profiler import ProfilerActivity, profile

from dgls_engine.model.slots import slots
from dgls_engine.weights import streaming as filling
from dgls_engine.weights.loader import load
from dgls_engine.weights.random_weights import random_model
from tests.engine.checkpoints import chat_checkpoint

EXPERTS, HIDDEN, WIDTH = 256, 128, 64
GATE_UP_BYTES = EXPERTS * 2 * WIDTH * HIDDEN * 2  # of a layer, in bfloat16


@pytest.fixture(scope="module")
def broad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in bfloat16 with many experts and little else."""
    folder = chat_checkpoint(tmp_path_factory.mktemp("broad"))
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    changes = {"num_experts": EXPERTS, "hidden_size": HIDDEN, "moe_intermediate_size": WIDTH}
    config["text_config"] |= changes
    (folder / "config.json").write_text(json.dumps(config))
    model = random_model(config, torch.device("cpu"), "bfloat16")
    tensors = {place.names[0]: getattr(*place.owners[0]) for place in slots(model)}
    save_file(tensors, folder / "model.safetensors")
    return folder


def peak_of_loading(folder: Path) -> tuple[int, int]:
    """The peak of allocated bytes during a load, and the bytes of the loaded model. The peak excludes the mapped file,
    whose pages the kernel can drop."""
    mapped = (folder / "model.safetensors").stat().st_size
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        weight_bytes = load(folder, "cpu", "fp8").info.weight_bytes
    assert profiled.profiler is not None
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes() if abs(event.nbytes()) != mapped else 0
        peak = max(peak, allocated)
    return peak, weight_bytes


def test_load_packing_peak_is_little_more_than_result(broad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "SLICE_VALUES", 2 * 2 * WIDTH * HIDDEN)
    peak, weight_bytes = peak_of_loading(broad)
    assert weight_bytes > 2 * GATE_UP_BYTES
    assert weight_bytes < peak < weight_bytes + 0.8 * GATE_UP_BYTES
    monkeypatch.setattr(filling, "SLICE_VALUES", 2**40)
    assert peak_of_loading(broad)[0] > weight_bytes + GATE_UP_BYTES


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", ["int4", "fp8"])
def test_load_packing_on_gpu_peak_is_little_more_than_result(
    broad: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "SLICE_VALUES", 2 * 2 * WIDTH * HIDDEN)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    weight_bytes = load(broad, "cuda", dtype).info.weight_bytes
    assert torch.cuda.max_memory_allocated() - before < weight_bytes + GATE_UP_BYTES
