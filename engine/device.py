"""Where the model runs: the device, the dtype, and whether there is memory for it.

Knows torch's devices, no model. Runs on the thread that opens the engine; `dgls doctor` asks it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from engine.errors import NotEnoughMemory, UnsupportedModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_SMALL = 200_000_000
"""Parameters up to which full precision costs nothing one would notice."""

_WORKSPACE = 1.05
"""Weights aside, a step's activations and the KV cache need a few percent more."""


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


def available_devices() -> list[str]:
    """Device types that work here, the fastest first; the CPU always does."""
    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, "cpu"]


def pick_dtype(name: str, parameters: int) -> torch.dtype:
    """`auto` takes float32 for a small model, bfloat16 else. float16 overflows in these models' activations unless
    asked for. Raises `UnsupportedModel` for an unknown name."""
    if name == "auto":
        return torch.float32 if parameters <= _SMALL else torch.bfloat16
    if name not in DTYPES:
        raise UnsupportedModel(f"unknown dtype {name!r}; take auto, {', '.join(DTYPES)}")
    return DTYPES[name]


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
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    return min(int(psutil.virtual_memory().available), _cgroup_free())


def require_memory(device: torch.device, weight_bytes: int) -> None:
    """Raises `NotEnoughMemory` if weights of that size do not fit; call it before allocating them."""
    needed, there = int(weight_bytes * _WORKSPACE), free_memory(device)
    if needed > there:
        raise NotEnoughMemory(
            f"the model needs {_gigabytes(needed)} on {device_name(device)}, {_gigabytes(there)} are free; "
            "close what else uses that memory, or take a smaller model (the embedded one runs anywhere)"
        )


@contextmanager
def told_of_exhaustion(device: torch.device) -> Iterator[None]:
    """Turns an allocation that fails on `device` into `NotEnoughMemory`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise NotEnoughMemory(
            f"{device_name(device)} ran out of memory, {_gigabytes(free_memory(device))} are free now; "
            "close what else uses that memory, or take a smaller model (the embedded one runs anywhere)"
        ) from error


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


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
