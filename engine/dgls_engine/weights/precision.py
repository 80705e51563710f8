"""Picks the number format of a model's weights and checks that the model fits into memory.

    pick_precision("auto", device, size, prompt_tokens) -> Precision      # raises NotEnoughMemory

fp8 and int4 apply to the experts, nine tenths of all weights; the other weights stay in a plain format. `auto` picks
the most precise format that fits on a GPU. Knows devices and sizes, no weights. Runs on the thread that opens the
engine; `dgls doctor` uses it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dgls_engine.device import amount, device_name, free_memory, shortage
from dgls_engine.errors import NotEnoughMemory, UnsupportedModel
from dgls_engine.model import kernels
from dgls_engine.model.family import Footprint, Size
from dgls_engine.model.packing import PACKINGS, Packing

_PLAIN = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = (*_PLAIN, *reversed(PACKINGS))

_TINY, _SMALL = 50_000_000, 400_000_000
"""Models with at most `_TINY` weights run in float32: the cost is not noticeable. On a CPU those with at most `_SMALL`
do so unless it has instructions for bfloat16: it is faster with them, and slower without them."""

_GPU_ORDER = ("bfloat16", "fp8", "int4")
"""The formats that `auto` tries on a GPU, in this order."""


@dataclass(frozen=True, slots=True)
class Precision:
    """`plain` is the type of all weights except packed experts, and the type of the computation."""

    name: str
    plain: torch.dtype
    packing: Packing | None = None


def pick_precision(name: str, device: torch.device, size: Size, prompt_tokens: int) -> Precision:
    """The precision called `name`, or the one that `auto` picks. Raises `UnsupportedModel` for one that is unknown or
    that `device` lacks, and `NotEnoughMemory` if a model of that size does not fit."""
    precisions = [precision_named(candidate, device, size) for candidate in candidates(name, device, size)]
    free = free_memory(device)
    for precision in precisions:
        footprint = footprint_of(size, precision, device, prompt_tokens)
        if footprint.total <= free:
            return precision
    smallest = _gpu_order(size)[-1]
    smallest_footprint = footprint_of(size, precision_named(smallest, device, size), device, prompt_tokens)
    hint = f"; with dtype {smallest} it would fit" if smallest_footprint.total <= free else ""
    needed = f"{_arithmetic(footprint)} in {precision.name} on {device_name(device)}"
    raise NotEnoughMemory(f"the model needs {needed}, {shortage(device)}{hint}")


def precision_named(name: str, device: torch.device, size: Size) -> Precision:
    """The precision called `name` for a model of that size. Raises `UnsupportedModel` if there is none."""
    if name in _PLAIN:
        return Precision(name, _PLAIN[name])
    for packing in PACKINGS:
        if name == packing:
            if not size.packs:
                raise UnsupportedModel(f"{name} packs the weights of experts, but this model has none; take bfloat16")
            if (name, device.type) == ("fp8", "mps"):
                raise UnsupportedModel("Apple's GPUs have no fp8; take int4")
            small_on_cpu = device.type == "cpu" and size.values <= _TINY
            return Precision(name, torch.float32 if small_on_cpu else torch.bfloat16, packing)
    raise UnsupportedModel(f"unknown dtype {name!r}; take auto, {', '.join(PRECISIONS)}")


def footprint_of(size: Size, precision: Precision, device: torch.device, prompt_tokens: int) -> Footprint:
    fused = kernels.usable(device)
    return size.footprint(precision.name, precision.plain.itemsize, prompt_tokens, fused)


def candidates(name: str, device: torch.device, size: Size) -> tuple[str, ...]:
    """The formats to try for `name`, best first. `auto` never picks float16: these models' activations overflow it."""
    if name != "auto":
        return (name,)
    if size.values <= _TINY or (device.type == "cpu" and size.values <= _SMALL and not has_fast_bfloat16()):
        return ("float32",)
    return _gpu_order(size) if device.type == "cuda" else ("bfloat16",)


def choices(size: Size) -> tuple[str, ...]:
    """The formats that make sense for a model of that size."""
    return ("float32",) if size.values <= _TINY else _gpu_order(size)


def has_fast_bfloat16() -> bool:
    """Whether the CPU is an x86 that multiplies matrices of bfloat16 in hardware. Others were not tried."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def _gpu_order(size: Size) -> tuple[str, ...]:
    return _GPU_ORDER if size.packs else _GPU_ORDER[:1]


def _arithmetic(footprint: Footprint) -> str:
    return (
        f"{amount(footprint.total)} ({amount(footprint.weights)} of weights, {amount(footprint.prompt)} for the "
        f"prompt, {amount(footprint.step)} for a step)"
    )
