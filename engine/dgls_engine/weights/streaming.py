"""Fills a model's places with weights, and packs the experts' on the way where the precision asks for it.

    fill(family, model, source, precision, device, kept, on_filled)

Whatever the weights come from, they pass through here in pieces: tensors one by one, experts that are to be packed a
few at a time, so that neither the host nor the device ever holds more than the result and a slice of one layer. `kept`
are experts that an earlier load packed, a file a layer (`weights.expert_cache`).

Knows torch and a model's slots; neither where weights come from nor the architecture. Runs on the engine thread.
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
"""How many weights are read and packed together: 67 MB of them in bfloat16."""

_TELLING = 2
"""Experts of a projection by which it is chosen whether it gets zero points."""


class Source(Protocol):
    """Where weights come from."""

    def whole(self, slot: Slot) -> Tensor:
        """On the device, in the model's plain type, in memory of its own."""
        ...

    def slice(self, slot: Slot, first: int, last: int) -> Tensor:
        """Of a slot of experts those from `first` to `last`: [last - first, N, K], on the device, in any type."""
        ...


class Kept(Protocol):
    """Packed experts of earlier loads, by their layer's index."""

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
    """Give each slot its weights; how many bytes they take. `on_filled` is told of each slot."""
    all_slots = slots(model)
    packed = [] if precision.packing is None else family.sites(all_slots)
    theirs = {id(slot) for site in packed for slot in (site.gate_up, site.down)}
    taken = 0
    for slot in all_slots:
        if id(slot) not in theirs:
            value = source.whole(slot)
            settle(slot, value)
            taken += value.nbytes
            on_filled(slot)
    for index, site in enumerate(packed):
        assert precision.packing is not None
        gate_up, down = _packed(index, site, source, precision.packing, kept)
        for module in site.modules:
            family.install(module, gate_up, down)
        taken += gate_up.bytes + down.bytes
        on_filled(site.gate_up)
        on_filled(site.down)
    family.finish(model, device)
    require_filled(model)
    return taken


def _packed(index: int, site: Site, source: Source, packing: Packing, kept: Kept | None) -> tuple[Packed, Packed]:
    found = kept.read(index) if kept is not None else None
    if found is not None:
        return found
    gate_up, down = (_pack(slot, source, packing) for slot in (site.gate_up, site.down))
    if kept is not None:
        kept.write(index, gate_up, down)
    return gate_up, down


def _pack(slot: Slot, source: Source, packing: Packing) -> Packed:
    zeros = packing == "int4" and prefers_zeros(source.slice(slot, 0, min(_TELLING, slot.shape[0])))
    parts = [pack(source.slice(slot, first, last), packing, zeros) for first, last in _slices(slot)]
    if len(parts) == 1:
        return parts[0]
    points = [part.zeros for part in parts if part.zeros is not None]
    return Packed(
        torch.cat([part.values for part in parts]),
        torch.cat([part.scales for part in parts]),
        torch.cat(points) if points else None,
        parts[0].columns,
    )


def _slices(slot: Slot) -> Iterator[tuple[int, int]]:
    count, rows, columns = slot.shape
    each = max(1, SLICE_VALUES // (rows * columns))
    for first in range(0, count, each):
        yield first, min(first + each, count)
