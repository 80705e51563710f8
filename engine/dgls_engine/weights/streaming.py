"""Fills a model's slots with weights, and packs those that the precision packs.

    fill(family, model, source, precision, device, kept, on_filled)

Weights arrive in pieces: tensors one by one, and those to pack a few experts or rows at a time. So host and device
never hold more than the result and a slice of one layer. `kept` are weights that an earlier load packed, one file for
each layer (`weights.expert_cache`).

Knows torch and a model's slots; neither the origin of the weights nor the architecture. Runs on the engine thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dgls_engine.model.family import Family
from dgls_engine.model.packing import Packed, Packing, joined, pack, prefers_zeros
from dgls_engine.model.slots import Site, Slot, require_filled, settle, slots
from dgls_engine.weights.precision import Precision

SLICE_VALUES = 2**25
"""The number of weights that are read and packed together: 67 MB in bfloat16."""

_SAMPLED_EXPERTS, _SAMPLED_ROWS = 2, 512
"""The first experts of a projection, or rows of a dense layer, decide whether all of them get zero points."""


class Source(Protocol):
    """The origin of the weights."""

    def whole(self, slot: Slot) -> Tensor:
        """The slot's tensor on the device, in the model's plain type. It shares no memory with other tensors."""
        ...

    def slice(self, slot: Slot, first: int, last: int) -> Tensor:
        """Experts or rows `first` to `last` (exclusive) of the slot, on the device, in any type."""
        ...


class Kept(Protocol):
    """Packed weights of earlier loads, by the site's index."""

    def read(self, index: int) -> Sequence[Packed] | None: ...
    def write(self, index: int, packed: Sequence[Packed]) -> None: ...


def fill(
    family: Family,
    model: nn.Module,
    source: Source,
    precision: Precision,
    device: torch.device,
    kept: Kept | None = None,
    on_filled: Callable[[Slot], None] = lambda slot: None,
) -> int:
    """Fill each slot; returns the bytes of all weights. Calls `on_filled` after each slot."""
    all_slots = slots(model)
    sites = [] if precision.packing is None else family.sites(all_slots, precision.packing)
    packed_slots = {id(slot) for site in sites for slot in site.slots}
    filled_bytes = 0
    for slot in all_slots:
        if id(slot) not in packed_slots:
            value = source.whole(slot)
            settle(slot, value)
            filled_bytes += value.nbytes
            on_filled(slot)
    for index, site in enumerate(sites):
        assert precision.packing is not None
        packed = _packed(index, site, source, site.packing(precision.packing), kept)
        for module in site.modules:
            family.install(module, packed)
        filled_bytes += sum(each.bytes for each in packed)
        for slot in site.slots:
            on_filled(slot)
    family.finish(model, device, precision.packing)
    require_filled(model)
    return filled_bytes


def _packed(index: int, site: Site, source: Source, packing: Packing, kept: Kept | None) -> Sequence[Packed]:
    kept_layer = kept.read(index) if kept is not None else None
    if kept_layer is not None:
        return kept_layer
    packed = [_pack(slot, source, packing) for slot in site.slots]
    if kept is not None:
        kept.write(index, packed)
    return packed


def _pack(slot: Slot, source: Source, packing: Packing) -> Packed:
    dense = len(slot.shape) == 2

    def part(first: int, last: int) -> Tensor:
        weights = source.slice(slot, first, last)
        return weights[None] if dense else weights

    sampled = min(_SAMPLED_ROWS if dense else _SAMPLED_EXPERTS, slot.shape[0])
    zeros = packing == "int4" and prefers_zeros(part(0, sampled))
    parts = [pack(part(first, last), packing, zeros) for first, last in _slices(slot)]
    return joined(parts, "rows" if dense else "experts")


def _slices(slot: Slot) -> Iterator[tuple[int, int]]:
    count = slot.shape[0]
    length = max(1, SLICE_VALUES // math.prod(slot.shape[1:]))
    for first in range(0, count, length):
        yield first, min(first + length, count)
