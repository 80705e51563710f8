"""Fills a model's slots with weights, and packs the experts' weights if the precision packs them.

    fill(family, model, source, precision, device, kept, on_filled)

Weights arrive in pieces: tensors one by one, and experts to pack a few at a time. So host and device never hold more
than the result and a slice of one layer. `kept` are experts that an earlier load packed, one file for each layer
(`weights.expert_cache`).

Knows torch and a model's slots; neither the origin of the weights nor the architecture. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from dgls_engine.model.family import Family
from dgls_engine.model.packing import Packed, Packing, pack, prefers_zeros
from dgls_engine.model.slots import Site, Slot, require_filled, settle, slots
from dgls_engine.weights.precision import Precision

SLICE_VALUES = 2**25
"""The number of weights that are read and packed together: 67 MB in bfloat16."""

_SAMPLED_EXPERTS = 2
"""The first experts of a projection decide whether all of them get zero points."""


class Source(Protocol):
    """The origin of the weights."""

    def whole(self, slot: Slot) -> Tensor:
        """The slot's tensor on the device, in the model's plain type. It shares no memory with other tensors."""
        ...

    def slice(self, slot: Slot, first: int, last: int) -> Tensor:
        """Experts `first` to `last` (exclusive) of the slot: [last - first, N, K], on the device, in any type."""
        ...


class Kept(Protocol):
    """Packed experts of earlier loads, by layer index."""

    def read(self, index: int) -> tuple[Packed, Packed] | None: ...
    def write(self, index: int, gate_up: Packed, down: Packed) -> None: ...


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
    sites = [] if precision.packing is None else family.sites(all_slots)
    expert_slots = {id(slot) for site in sites for slot in (site.gate_up, site.down)}
    filled_bytes = 0
    for slot in all_slots:
        if id(slot) not in expert_slots:
            value = source.whole(slot)
            settle(slot, value)
            filled_bytes += value.nbytes
            on_filled(slot)
    for index, site in enumerate(sites):
        assert precision.packing is not None
        gate_up, down = _packed(index, site, source, precision.packing, kept)
        for module in site.modules:
            family.install(module, gate_up, down)
        filled_bytes += gate_up.bytes + down.bytes
        on_filled(site.gate_up)
        on_filled(site.down)
    family.finish(model, device)
    require_filled(model)
    return filled_bytes


def _packed(index: int, site: Site, source: Source, packing: Packing, kept: Kept | None) -> tuple[Packed, Packed]:
    kept_layer = kept.read(index) if kept is not None else None
    if kept_layer is not None:
        return kept_layer
    gate_up, down = (_pack(slot, source, packing) for slot in (site.gate_up, site.down))
    if kept is not None:
        kept.write(index, gate_up, down)
    return gate_up, down


def _pack(slot: Slot, source: Source, packing: Packing) -> Packed:
    zeros = packing == "int4" and prefers_zeros(source.slice(slot, 0, min(_SAMPLED_EXPERTS, slot.shape[0])))
    parts = [pack(source.slice(slot, first, last), packing, zeros) for first, last in _slices(slot)]
    if len(parts) == 1:
        return parts[0]
    zero_points = [part.zeros for part in parts if part.zeros is not None]
    return Packed(
        torch.cat([part.values for part in parts]),
        torch.cat([part.scales for part in parts]),
        torch.cat(zero_points) if zero_points else None,
        parts[0].columns,
    )


def _slices(slot: Slot) -> Iterator[tuple[int, int]]:
    count, rows, columns = slot.shape
    length = max(1, SLICE_VALUES // (rows * columns))
    for first in range(0, count, length):
        yield first, min(first + length, count)
