"""Picks the number format of a model's weights and checks that the model fits into memory.

    pick_precision("auto", device, size, prompt_tokens) -> Precision      # raises NotEnoughMemory

Packings apply to experts, nine tenths of the weights of a model that has them, or else to all matrices; the other
weights stay in a plain format. On a GPU, and on a CPU for dense models, `auto` picks the most precise format that fits.
Knows devices and sizes, no weights. Runs on the thread that opens the engine; `dgls doctor` uses it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dgls_engine.device import amount, device_name, free_memory, shortage
from dgls_engine.errors import NotEnoughMemory, UnsupportedModel
from dgls_engine.model import kernels
from dgls_engine.model.family import Footprint, Size
from dgls_engine.model.packing import PACKINGS, Packing
from dgls_engine.model.products import has_fbgemm

_PLAIN = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = (*_PLAIN, "int8", "fp8", "int4")

_TINY, _SMALL = 50_000_000, 400_000_000
"""Models with at most `_TINY` weights run in float32: the cost is not noticeable. On a CPU without instructions for
bfloat16 it is slow, so there dense models run in float16, whose products are in float32; where torch has none of these,
those with at most `_SMALL` run in float32."""

_CPU_ORDER = ("float16", "int8")
"""The formats that `auto` tries for a dense model on a CPU without instructions for bfloat16, in this order."""

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
    smallest = choices(size, device)[-1]
    smallest_footprint = footprint_of(size, precision_named(smallest, device, size), device, prompt_tokens)
    hint = f"; with dtype {smallest} it would fit" if smallest_footprint.total <= free else ""
    needed = f"{_arithmetic(footprint)} in {precision.name} on {device_name(device)}"
    raise NotEnoughMemory(f"the model needs {needed}, {shortage(device)}{hint}")


def precision_named(name: str, device: torch.device, size: Size) -> Precision:
    """The precision called `name` for a model of that size. Raises `UnsupportedModel` if there is none."""
    if name == "float16" and _on_cpu(name, device, size):
        return Precision(name, torch.float32, "float16")
    if name in _PLAIN:
        return Precision(name, _PLAIN[name])
    if name == "int8":
        if not _on_cpu(name, device, size):
            raise UnsupportedModel("int8 is for dense models on an x86 CPU; take fp8, or bfloat16")
        return Precision(name, torch.float32, "int8")
    for packing in PACKINGS:
        if name == packing:
            if (name, device.type) == ("fp8", "mps"):
                raise UnsupportedModel("Apple's GPUs have no fp8; take int4")
            small_on_cpu = device.type == "cpu" and size.values <= _TINY
            return Precision(name, torch.float32 if small_on_cpu else torch.bfloat16, packing)
    raise UnsupportedModel(f"unknown dtype {name!r}; take auto, {', '.join(PRECISIONS)}")


def _on_cpu(name: str, device: torch.device, size: Size) -> bool:
    """Whether a CPU multiplies the model's weights in this packing by rows in float32."""
    return device.type == "cpu" and name in size.packings and has_fbgemm()


def footprint_of(size: Size, precision: Precision, device: torch.device, prompt_tokens: int) -> Footprint:
    fused = kernels.usable(device)
    return size.footprint(precision.name, precision.plain.itemsize, prompt_tokens, fused)


def candidates(name: str, device: torch.device, size: Size) -> tuple[str, ...]:
    """The formats to try for `name`, best first. `auto` never computes in float16: these models' activations overflow
    it."""
    if name != "auto":
        return (name,)
    if size.values <= _TINY:
        return ("float32",)
    if device.type == "cpu":
        return _cpu_order(device, size)
    return _GPU_ORDER if device.type == "cuda" else ("bfloat16",)


def choices(size: Size, device: torch.device) -> tuple[str, ...]:
    """The formats that make sense for a model of that size."""
    if size.values <= _TINY:
        return ("float32",)
    return _cpu_order(device, size) if _on_cpu("int8", device, size) else _GPU_ORDER


def _cpu_order(device: torch.device, size: Size) -> tuple[str, ...]:
    if not _on_cpu("float16", device, size):
        return ("float32",) if size.values <= _SMALL and not has_fast_bfloat16() else ("bfloat16",)
    return ("bfloat16", "int8") if has_fast_bfloat16() else _CPU_ORDER


def has_fast_bfloat16() -> bool:
    """Whether the CPU is an x86 that multiplies matrices of bfloat16 in hardware. Others were not tried."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def _arithmetic(footprint: Footprint) -> str:
    return (
        f"{amount(footprint.total)} ({amount(footprint.weights)} of weights, {amount(footprint.prompt)} for the "
        f"prompt, {amount(footprint.step)} for a step)"
    )
