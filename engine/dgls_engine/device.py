"""Where the model runs: the devices, and what memory they have left.

Knows torch's devices, no model. Runs on the thread that opens the engine; `dgls doctor` asks it too.
"""

from __future__ import annotations

import gc
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from dgls_engine.errors import NotEnoughMemory, UnsupportedModel

_NOTABLE = 1_000_000_000
"""Bytes from which on it is told that others hold them; a driver's own share is less."""


_EXHAUSTED = (
    "CUDA error: out of memory",  # the driver's, where no tensor is allocated: a graph, a kernel
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    "can't allocate memory",  # the CPU's
)
"""What errors say that tell of exhausted memory without being torch's own kind."""


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU. Raises `UnsupportedModel` for a device that is not there."""
    there = available_devices()
    if name == "auto":
        return torch.device(there[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UnsupportedModel(f"unknown device {name!r}; take auto, {', '.join(there)}") from None
    if device.type not in there or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise UnsupportedModel(f"device {name!r} is not available here; take auto, {', '.join(there)}")
    return device


def use(device: torch.device) -> None:
    """Make it this thread's own: kernels that are not torch's run there, wherever their tensors are."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def available_devices() -> list[str]:
    """Device types that work here, the fastest first; the CPU always does."""
    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, "cpu"]


def device_name(device: torch.device) -> str:
    """What people call the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'' if threads == 1 else 's'}"


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on `device`."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    return min(int(psutil.virtual_memory().available), _cgroup_free())


def held_by_others(device: torch.device) -> int:
    """Bytes of a GPU's memory that other processes hold, and the driver; 0 where nobody tells."""
    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return int(total - free - torch.cuda.memory_reserved(device))


def shortage(device: torch.device) -> str:
    """What is free on `device` and who has the rest, and what can be done about it: the end of a refusal's line."""
    told, advice = f"{amount(free_memory(device))} are free", "close what else uses that memory, or take"
    others = held_by_others(device)
    if others >= _NOTABLE:
        told += f", {amount(others)} are held by other processes (nvidia-smi lists them)"
    return f"{told}; {advice} a smaller model (the embedded one runs anywhere)"


@contextmanager
def told_of_exhaustion(device: torch.device) -> Iterator[None]:
    """Turns an allocation that fails on `device` into `NotEnoughMemory`."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(words in str(error) for words in _EXHAUSTED):
            raise
        raise NotEnoughMemory(f"{device_name(device)} ran out of memory, {shortage(device)}") from error


def reclaim(device: torch.device, error: BaseException) -> None:
    """Give back what a failed allocation left behind: tensors that its error's traceback still holds (calls that are
    over, but not forgotten), and what torch keeps for the next one."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    release(device)


def finish(device: torch.device) -> None:
    """Wait until the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def no_waits() -> Iterator[None]:
    """Makes what has the host wait for a GPU an error (a number asked of a tensor, a copy), except waits for events."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mode is a prototype, torch says once
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def release(device: torch.device) -> None:
    """Hand memory that nothing needs any more back to the device, for other programs to take."""
    gc.collect()  # whatever stands in a ring of references
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _cgroup_free(root: Path = Path("/sys/fs/cgroup")) -> int:
    """What a container's limit leaves, which the system's own figure does not show.

    Cached file pages count as used there, a model's own files among them, but give way to whoever needs memory.
    """
    try:
        limit, used = (int((root / name).read_text()) for name in ("memory.max", "memory.current"))
        kinds = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
        return limit - used + int(kinds["inactive_file"]) + int(kinds["active_file"])
    except (OSError, ValueError, KeyError):  # no cgroup, or its limit is "max"
        return 2**63


def amount(size: int) -> str:
    """Bytes as people say them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
