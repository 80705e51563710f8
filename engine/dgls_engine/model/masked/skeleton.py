"""Builds the modules of a masked model without weights: those of `modules`, with the adapter if there is one.

Runs on the thread that loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dgls_engine.model.family import JUDGED_ROWS, Footprint
from dgls_engine.model.masked.adapter import CanvasLinear, adapt, fold, folded_values
from dgls_engine.model.masked.layers import Layers
from dgls_engine.model.masked.modules import Decoder, Embedding, Linear, new_parameter, rotary
from dgls_engine.model.masked.shape import Shape
from dgls_engine.model.packing import PACKINGS, Packing, packed_bytes
from dgls_engine.model.products import BLOCK
from dgls_engine.model.slots import Site, Slot, slots

MASK_ROW = "mask_embedding"
"""The name of an optional parameter [D]: the mask token's embedding in a canvas, in place of its row of the table."""

_LOGIT_BYTES = 22
"""Bytes for each logit: raw, in float32, tempered, and as a probability."""

_ON_CPU: tuple[Packing, ...] = ("float16", "int8")
"""In these a CPU multiplies by the whole table, so that a tied one is packed, too: as the head's weight, and to look up
rows. In int4 and fp8 the rows of a tied table would lose too much."""

_UNPACKED_BYTES = 14
"""Bytes for each weight while it is unpacked: steps, products and results."""

_ROWS = 256
"""The number of prompt or canvas rows that go through the layers together."""


def build(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """The modules on the meta device, in evaluation mode."""
    model = Decoder(Shape.of(config, shapes))
    adapt(model, shapes)
    if (name := f"model.{MASK_ROW}") in shapes:
        model.model.register_parameter(MASK_ROW, new_parameter(*shapes[name]))
    return model.eval()


def sites(all_slots: Sequence[Slot], packing: Packing) -> list[Site]:
    """Each weight that is packed on its own: those of linear layers, except the router of experts, and the tables. If
    there is an adapter, `finish` packs the layers, because it has to be folded first."""
    adapted = any(isinstance(owner, CanvasLinear) for slot in all_slots for owner, _ in slot.owners)
    found = []
    for slot in all_slots:
        modules = tuple(owner for owner, attribute in slot.owners if attribute == "weight")
        if any(isinstance(module, Embedding) for module in modules):
            if len(modules) == 1 or packing in _ON_CPU:
                found.append(Site(modules, (slot,), least="int8"))
        elif "lm_head.weight" in slot.names and not adapted:
            found.append(Site(modules, (slot,), least="fp8"))
        elif not adapted and any(map(_packs, slot.names)):
            found.append(Site(modules, (slot,)))
    return found


def _packs(name: str) -> bool:
    """Whether the slot of this name is a linear layer's weight, but no router's."""
    return name.endswith("_proj.weight")


def finish(model: Any, device: torch.device, packing: Packing | None) -> None:
    """Fold the adapter, fuse the layers, and prepare products with packed weights."""
    fold(model)
    model.fused = Layers(model, rotary(model.config, device), packing)
    model.model.embed_tokens.dtype = model.dtype
    for module in model.modules():
        if isinstance(module, Linear):
            module.arrange()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the weights: the bytes of those that are packed, and the number of the others."""

    packed: int = 0
    values: int = 0

    def bytes(self, plain_bytes: int) -> int:
        return self.packed + self.values * plain_bytes


Parts = Mapping[str, Part]
"""Attention, feed-forward, embedding (both tables), and what folded adapters take in addition."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A `family.Size`. `parts` are the plain weights, `packed` the same in each packing. `key_values`: the number of
    keys and values that the cache holds for each prompt token."""

    parts: Parts
    packed: Mapping[str, Parts]
    key_values: int
    vocabulary: int
    widest: int
    in_one_sequence: bool

    @classmethod
    def of(cls, model: Any) -> Dense:
        config = model.config
        return cls(
            parts=_parts(model, None),
            packed={packing: _parts(model, packing) for packing in PACKINGS},
            key_values=2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim,
            vocabulary=config.vocab_size,
            widest=4 * config.hidden_size + 3 * config.intermediate_size,
            in_one_sequence=config.in_one_sequence,
        )

    @property
    def values(self) -> int:
        return sum(part.values for name, part in self.parts.items() if name != "folded")

    @property
    def packings(self) -> tuple[str, ...]:
        return PACKINGS

    def footprint(self, precision: str, plain_bytes: int, prompt_tokens: int, fused: bool = True) -> Footprint:
        rows = _ROWS + (prompt_tokens if self.in_one_sequence else 0)
        parts = {name: part.bytes(plain_bytes) for name, part in self.packed.get(precision, self.parts).items()}
        unpacked = BLOCK * _UNPACKED_BYTES if precision in ("int4", "fp8") else 0
        return Footprint(
            experts=0,
            attention=parts["attention"],
            dense=parts["feed_forward"] + parts["folded"],
            embedding=parts["embedding"],
            prompt=self.key_values * prompt_tokens * plain_bytes,
            step=self.vocabulary * JUDGED_ROWS * _LOGIT_BYTES + rows * self.widest * plain_bytes + unpacked,
        )


def _parts(model: Any, packing: Packing | None) -> Parts:
    all_slots = slots(model)
    held = {} if packing is None else {id(site.slots[0]): site for site in sites(all_slots, packing)}
    parts = dict.fromkeys(("attention", "feed_forward", "embedding", "folded"), Part())
    adapted = [module for module in model.modules() if isinstance(module, CanvasLinear)]
    for slot in all_slots:
        site, size = held.get(id(slot)), 0
        if packing is not None and site is not None:
            size = packed_bytes(_matrix(slot.shape), site.packing(packing), True)
        elif packing not in (None, "float16") and adapted and any(map(_packs, slot.names)):
            size = packed_bytes(_matrix(slot.shape), packing, True)
        _add(parts, _part_of(slot.names[0]), size, _count(slot.shape))
        if site is not None and len(site.modules) > 1:  # the head's product has a copy in its own order
            _add(parts, "embedding", size, 0)
    if packing is None:
        _add(parts, "folded", 0, folded_values(model))
        return parts
    for module in adapted:
        _add(parts, "folded", packed_bytes((1, module.out_features, module.in_features), packing, True), 0)
    return parts


def _add(parts: dict[str, Part], name: str, packed: int, values: int) -> None:
    was = parts[name]
    parts[name] = Part(was.packed + packed, was.values + (0 if packed else values))


def _part_of(name: str) -> str:
    if "embed" in name or name.startswith("lm_head"):
        return "embedding"
    return "attention" if ".self_attn." in name else "feed_forward"


def _matrix(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return 1, shape[0], shape[1]


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
