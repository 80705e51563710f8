"""However large a model's experts are, packing them takes a slice of one layer beside the result."""

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
    """Many experts beside little else, in bfloat16."""
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
    """Most bytes that were allocated at a time, and how many the model takes at the end. A file that is mapped into
    memory is not among them: its pages give way to whoever needs memory."""
    mapped = (folder / "model.safetensors").stat().st_size
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        taken = load(folder, "cpu", "fp8").info.weight_bytes
    assert watched.profiler is not None
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes() if abs(event.nbytes()) != mapped else 0
        most = max(most, alive)
    return most, taken


def test_packing_takes_little_more_than_the_result(broad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "SLICE_VALUES", 2 * 2 * WIDTH * HIDDEN)
    most, taken = peak_of_loading(broad)
    assert taken > 2 * GATE_UP_BYTES
    assert taken < most < taken + 0.8 * GATE_UP_BYTES
    monkeypatch.setattr(filling, "SLICE_VALUES", 2**40)
    assert peak_of_loading(broad)[0] > taken + GATE_UP_BYTES


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", ["int4", "fp8"])
def test_a_gpu_needs_little_more_than_the_result(broad: Path, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "SLICE_VALUES", 2 * 2 * WIDTH * HIDDEN)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    taken = load(broad, "cuda", dtype).info.weight_bytes
    assert torch.cuda.max_memory_allocated() - before < taken + GATE_UP_BYTES
