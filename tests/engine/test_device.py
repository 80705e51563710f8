"""What there is to compute with, and what is said when it is too little."""

from __future__ import annotations

import platform
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from dgls_engine import Engine, Hole, InfillRequest
from dgls_engine import device as devices
from dgls_engine.errors import NotEnoughMemory
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.types import Context
from dgls_engine.weights import loader
from tests.engine.checkpoints import raw_checkpoint

CPU = torch.device("cpu")


def test_memory_of_present_devices_is_positive() -> None:
    for name in devices.available_devices():
        device = devices.pick_device(name)
        assert devices.free_memory(device) > 0
        assert devices.device_name(device)
    assert devices.pick_device().type == devices.available_devices()[0]


@pytest.mark.parametrize(
    ("limit", "free"), [("1000", 1000 - 700 + 300 + 50), ("max", 2**63)], ids=["a limit", "no limit"]
)
def test_memory_in_container_counts_cached_pages_as_free(tmp_path: Path, limit: str, free: int) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 350\nfile 350\ninactive_file 300\nactive_file 50\n")
    assert devices._cgroup_free(tmp_path) == free


def test_pick_device_second_gpu_becomes_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton launches a kernel on the current one, whose memory its tensors then are not in."""
    used: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(loader, "pick_precision", None)  # no further
    for name in ("cuda:1", "cuda", "cpu"):
        with pytest.raises(TypeError):
            loader.load(raw_checkpoint(tmp_path), name)
    assert used == [torch.device("cuda:1")]


def test_memory_outside_container_has_no_limit(tmp_path: Path) -> None:
    assert devices._cgroup_free(tmp_path) == 2**63


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 16.00 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_translate_any_memory_error_raises_not_enough_memory(error: RuntimeError) -> None:
    with pytest.raises(NotEnoughMemory, match="ran out of memory"), devices.translate_memory_errors(CPU):
        raise error


def test_translate_other_error_keeps_it() -> None:
    with pytest.raises(RuntimeError, match="a bug"), devices.translate_memory_errors(CPU):
        raise RuntimeError("a bug")


def test_reclaim_after_failed_allocation_frees_while_error_is_kept() -> None:
    left: list[weakref.ref[torch.Tensor]] = []

    def allocate() -> None:
        activations = torch.zeros(8)
        left.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(NotEnoughMemory) as caught, devices.translate_memory_errors(CPU):
        allocate()
    assert left[0]() is not None
    devices.reclaim(CPU, caught.value)
    assert left[0]() is None


def test_translate_on_gpu_reports_memory_of_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 24 GB 5 are free; we have 3, of which 1 is not in use."""
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 * 10**9, 24 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 * 10**9)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2 * 10**9)
    assert devices.free_memory(gpu) == 6 * 10**9
    assert devices.held_by_others(gpu) == 16 * 10**9
    assert "6.0 GB are free, 16.0 GB are held by other processes" in devices.shortage(gpu)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (21 * 10**9 - 10**8, 24 * 10**9))
    assert "other processes" not in devices.shortage(gpu)


def test_translate_on_cpu_reports_no_other_processes() -> None:
    assert devices.held_by_others(CPU) == 0
    assert "other processes" not in devices.shortage(CPU)


def test_infill_out_of_memory_raises_not_enough_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = InfillRequest(Context(), [Hole(max_tokens=3)])

    def exhausted(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with monkeypatch.context() as patched:
        patched.setattr(decoder, "decode", exhausted)
        with pytest.raises(NotEnoughMemory, match="ran out of memory"):
            next(engine.infill(asked))
    assert list(engine.infill(asked))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory and can return it")
def test_trim_returns_memory_between_other_allocations() -> None:
    process = psutil.Process()
    blocks = [bytearray(b"x" * 100_000) for _ in range(1000)]  # too small for glibc to map each on its own
    del blocks[::2]
    before = process.memory_info().rss
    devices.trim()
    assert process.memory_info().rss < before - 25_000_000
    assert len(blocks) == 500
