"""Reads and writes packed weights in the files of `weights.expert_cache`: a safetensors file for each layer.

    with kept_experts(folder, files, sites, packing, device) as kept:     # a `streaming.Kept`
        fill(..., kept)

If all layers are on disk, `kept` reads them and nothing is packed; otherwise it writes each layer after packing. Knows
packed tensors and their files. Runs on the engine thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dgls_engine.model.packing import VERSION, Packed, Packing, packed_bytes
from dgls_engine.model.slots import Site, Slot
from dgls_engine.weights.expert_cache import Entry, Writing, discard, entry_of, whole
from dgls_engine.weights.streaming import Kept

_PARTS = ("values", "scales", "zeros")

WORTH_KEEPING = 100_000_000
"""Packed experts of fewer bytes are not kept: to pack them again takes a second."""


@contextmanager
def kept_experts(
    source: Path, files: Sequence[Path], sites: Sequence[Site], packing: Packing, device: torch.device
) -> Iterator[Kept | None]:
    """The kept experts of the model in `source`, whose experts are in `files`; None if they are too few to keep."""
    weights = [(slot.shape, site.packing(packing)) for site in sites for slot in site.slots]
    needed = sum(packed_bytes((math.prod(shape[:-2]), shape[-2], shape[-1]), own, True) for shape, own in weights)
    if needed < WORTH_KEEPING:
        yield None
        return
    entry = entry_of(source, files, packing, VERSION)
    if whole(entry, [_name(index) for index in range(len(sites))]):
        yield _Reading(entry, sites, device)
        return
    with Writing(entry, needed) as writing:
        yield _Written(writing)


class _Reading:
    """A `streaming.Kept` that reads an existing entry. After a damaged file, all further layers are packed again."""

    def __init__(self, entry: Entry, sites: Sequence[Site], device: torch.device) -> None:
        self._entry, self._sites, self._device = entry, sites, device
        self._intact = True

    def read(self, index: int) -> list[Packed] | None:
        if not self._intact:
            return None
        site = self._sites[index]
        try:
            with safe_open(self._entry.folder / _name(index), framework="pt", device="cpu") as stream:
                return [self._packed(stream, str(place), slot) for place, slot in enumerate(site.slots)]
        except (OSError, ValueError, SafetensorError) as error:
            discard(self._entry, str(error))
            self._intact = False
            return None

    def _packed(self, stream: Any, name: str, slot: Slot) -> Packed:
        # Copy even on a CPU: the contents of a mapped file change if the file is rewritten.
        names = [part for part in stream.keys() if part.startswith(f"{name}.")]  # noqa: SIM118 (it is no dict)
        tensors = {part: stream.get_tensor(part).to(self._device, copy=True) for part in names}
        values, scales, zeros = (tensors.get(f"{name}.{part}") for part in _PARTS)
        if values is None or scales is None or values.shape[:2] != (math.prod(slot.shape[:-2]), slot.shape[-2]):
            raise ValueError(f"{name} lacks a tensor or has the wrong shape")
        return Packed(values, scales, zeros, slot.shape[-1])

    def write(self, index: int, packed: Sequence[Packed]) -> None:
        """Does nothing: after damage, the next load writes a new entry."""


class _Written:
    """A `streaming.Kept` without layers yet: it writes each layer after packing."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    def read(self, index: int) -> None:
        return None

    def write(self, index: int, packed: Sequence[Packed]) -> None:
        path = self._writing.path(_name(index))
        if path is None:
            return
        tensors = {
            f"{place}.{part}": tensor.contiguous().cpu()
            for place, each in enumerate(packed)
            for part in _PARTS
            if (tensor := getattr(each, part)) is not None
        }
        try:
            save_file(tensors, path)
            self._writing.written(path.name)
        except (OSError, SafetensorError) as error:
            self._writing.give_up(str(error))


def _name(index: int) -> str:
    return f"{index:03}.safetensors"
