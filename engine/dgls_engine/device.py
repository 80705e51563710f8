"""The devices that a model can run on, and their free memory.

Knows torch's devices, but no model. Runs on the thread that opens the engine; `dgls doctor` uses it too.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from dgls_engine.errors import NotEnoughMemory, UnsupportedModel

_NOTABLE = 1_000_000_000
"""Error messages mention other processes' memory from this size on, in bytes. A driver alone uses less."""


_EXHAUSTED = (
    "CUDA error: out of memory",  # from the driver, when it allocates a graph or a kernel
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    "can't allocate memory",  # from the CPU
)
"""Messages of errors that mean "out of memory" but are no `torch.OutOfMemoryError`."""


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` is CUDA, else MPS, else the CPU. Raises `UnsupportedModel` for a device that
    this machine does not have."""
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UnsupportedModel(f"unknown device {name!r}; take auto, {', '.join(available)}") from None
    if device.type not in available or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise UnsupportedModel(f"device {name!r} is not available here; take auto, {', '.join(available)}")
    return device


def use(device: torch.device) -> None:
    """Make `device` this thread's current one: Triton kernels run there, wherever their tensors are."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def spare_threads() -> int:
    """CPU threads that leave a core to the rest of the machine. Where no core is free, torch's threads wait for each
    other at every operation, and a step takes several times as long as on one thread."""
    return max(1, (psutil.cpu_count(logical=False) or 1) - 1)


def available_devices() -> list[str]:
    """The device types of this machine, the fastest first; the CPU is always the last."""
    gpus = ["cuda"] if torch.cuda.is_available() else []
    gpus += ["mps"] if torch.backends.mps.is_available() else []
    return [*gpus, "cpu"]


def device_name(device: torch.device) -> str:
    """The device's name for users."""
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
    """Bytes of a GPU's memory that other processes and the driver use; 0 for other devices, which do not report it."""
    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return int(total - free - torch.cuda.memory_reserved(device))


def shortage(device: torch.device) -> str:
    """The end of an error message: how much memory `device` has free, what other processes use, what to do."""
    usage = f"{amount(free_memory(device))} are free"
    others = held_by_others(device)
    if others >= _NOTABLE:
        usage += f", {amount(others)} are held by other processes (nvidia-smi lists them)"
    return f"{usage}; close other programs that use it, or take a smaller model (the embedded one runs anywhere)"


@contextmanager
def translate_memory_errors(device: torch.device) -> Iterator[None]:
    """Raises `NotEnoughMemory` in place of an allocation error on `device`."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(words in str(error) for words in _EXHAUSTED):
            raise
        raise NotEnoughMemory(f"{device_name(device)} ran out of memory, {shortage(device)}") from error


def reclaim(device: torch.device, error: BaseException) -> None:
    """Free what is left after a failed allocation: tensors in the frames of `error`'s traceback, and torch's cache of
    free memory."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
    release(device)


def finish(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def no_waits() -> Iterator[None]:
    """Raises an error where the host waits for a GPU (for a value of a tensor, for a copy); it may wait for events."""
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that the mode is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)


def release(device: torch.device) -> None:
    """Return unused memory to the device, so that other programs can allocate it."""
    gc.collect()  # frees reference cycles
    trim()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def trim() -> None:
    """Return freed memory of this process to the system. glibc keeps what lies between other allocations: after a load
    about 100 MB."""
    if sys.platform == "linux" and hasattr(process := ctypes.CDLL(None), "malloc_trim"):
        process.malloc_trim(0)


def _cgroup_free(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Free bytes within a container's memory limit. The system's own figure ignores that limit.

    The kernel counts cached file pages, such as a model's files, as used memory, but frees them when memory is needed.
    """
    try:
        limit, used = (int((root / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
        return limit - used + int(stat["inactive_file"]) + int(stat["active_file"])
    except (OSError, ValueError, KeyError):  # no cgroup, or its limit is "max"
        return 2**63


def amount(size: int) -> str:
    """A number of bytes for users, in GB or MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
