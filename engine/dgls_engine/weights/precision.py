"""In which numbers a model is kept and computed, and whether that fits.

    pick_precision("auto", device, size, prompt_tokens) -> Precision      # raises NotEnoughMemory

fp8 and int4 mean the experts' weights, which are nine tenths of all; the rest stays plain. `auto` takes the most
precise one that fits a GPU. Knows devices and sizes, no weights. Runs on the thread that opens the engine; `dgls
doctor` asks it too.
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

_SMALL = 200_000_000
"""Values up to which full precision costs nothing one would notice."""

_FALLING = ("bfloat16", "fp8", "int4")
"""What `auto` tries on a GPU, in this order."""


@dataclass(frozen=True, slots=True)
class Precision:
    """`plain` is the type of all weights but packed experts', and the one that is computed in."""

    name: str
    plain: torch.dtype
    packing: Packing | None = None


def pick_precision(name: str, device: torch.device, size: Size, prompt_tokens: int) -> Precision:
    """The precision called `name`, or the one that `auto` chooses. Raises `UnsupportedModel` for one that is unknown
    or not to be had on `device`, and `NotEnoughMemory` if a model of that size does not fit."""
    precisions = [precision_named(one, device, size) for one in candidates(name, device, size)]
    there = free_memory(device)
    for precision in precisions:
        needed = footprint_of(size, precision, device, prompt_tokens)
        if needed.total <= there:
            return precision
    smallest = _falling(size)[-1]
    least = footprint_of(size, precision_named(smallest, device, size), device, prompt_tokens)
    other = f"; with dtype {smallest} it would fit" if least.total <= there else ""
    raise NotEnoughMemory(
        f"the model needs {_arithmetic(needed)} in {precision.name} on {device_name(device)}, {shortage(device)}{other}"
    )


def precision_named(name: str, device: torch.device, size: Size) -> Precision:
    """For a model of that size. Raises `UnsupportedModel`."""
    if name in _PLAIN:
        return Precision(name, _PLAIN[name])
    for packing in PACKINGS:
        if name == packing:
            if not size.packs:
                raise UnsupportedModel(f"{name} packs the weights of experts, and this model has none; take bfloat16")
            if (name, device.type) == ("fp8", "mps"):
                raise UnsupportedModel("Apple's GPUs have no fp8; take int4")
            small_on_cpu = device.type == "cpu" and size.values <= _SMALL
            return Precision(name, torch.float32 if small_on_cpu else torch.bfloat16, packing)
    raise UnsupportedModel(f"unknown dtype {name!r}; take auto, {', '.join(PRECISIONS)}")


def footprint_of(size: Size, precision: Precision, device: torch.device, prompt_tokens: int) -> Footprint:
    fused = kernels.usable(device)
    return size.footprint(precision.name, precision.plain.itemsize, prompt_tokens, fused)


def candidates(name: str, device: torch.device, size: Size) -> tuple[str, ...]:
    """What may be taken for `name`, the best first. float16 overflows in these models' activations, so it has to be
    asked for."""
    if name != "auto":
        return (name,)
    if size.values <= _SMALL:
        return ("float32",)
    return _falling(size) if device.type == "cuda" else ("bfloat16",)


def choices(size: Size) -> tuple[str, ...]:
    """What a user would choose from for a model of that size."""
    return ("float32",) if size.values <= _SMALL else _falling(size)


def _falling(size: Size) -> tuple[str, ...]:
    return _FALLING if size.packs else _FALLING[:1]


def _arithmetic(needed: Footprint) -> str:
    return (
        f"{amount(needed.total)} ({amount(needed.weights)} of weights, {amount(needed.prompt)} for the prompt, "
        f"{amount(needed.step)} for a step)"
    )
