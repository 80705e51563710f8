"""Builds the modules of a masked model without weights: those of `modules`, with the adapter if there is one.

Runs on the thread that loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dgls_engine.model.family import JUDGED_ROWS, Footprint
from dgls_engine.model.masked.adapter import adapt, fold, folded_values
from dgls_engine.model.masked.layers import Layers
from dgls_engine.model.masked.modules import Decoder, new_parameter, rotary
from dgls_engine.model.masked.shape import Shape
from dgls_engine.model.slots import slots

MASK_ROW = "mask_embedding"
"""The name of an optional parameter [D]: the mask token's embedding in a canvas, in place of its row of the table."""

_LOGIT_BYTES = 22
"""Bytes for each logit: raw, in float32, tempered, and as a probability."""

_ROWS = 256
"""The number of prompt or canvas rows that go through the layers together."""


def build(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """The modules on the meta device, in evaluation mode."""
    model = Decoder(Shape.of(config, shapes))
    adapt(model, shapes)
    if (name := f"model.{MASK_ROW}") in shapes:
        model.model.register_parameter(MASK_ROW, new_parameter(*shapes[name]))
    return model.eval()


def finish(model: Any, device: torch.device) -> None:
    """Fold the adapter and fuse the layers."""
    fold(model)
    model.fused = Layers(model, rotary(model.config, device))


@dataclass(frozen=True, slots=True)
class Dense:
    """A `family.Size`. `folded`: values that a folded adapter takes in addition. `key_values`: the number of keys and
    values that the cache holds for each prompt token."""

    attention: int
    feed_forward: int
    embedding: int
    folded: int
    key_values: int
    vocabulary: int
    widest: int
    in_one_sequence: bool

    @classmethod
    def of(cls, model: Any) -> Dense:
        parts = {"attention": 0, "feed_forward": 0, "embedding": 0}
        for slot in slots(model):
            name = slot.names[0]
            table = "embed" in name or name.startswith("lm_head")
            parts["embedding" if table else "attention" if ".self_attn." in name else "feed_forward"] += _count(
                slot.shape
            )
        config = model.config
        key_values = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        widest = 4 * config.hidden_size + 3 * config.intermediate_size
        return cls(
            **parts,
            folded=folded_values(model),
            key_values=key_values,
            vocabulary=config.vocab_size,
            widest=widest,
            in_one_sequence=config.in_one_sequence,
        )

    @property
    def values(self) -> int:
        return self.attention + self.feed_forward + self.embedding

    @property
    def packs(self) -> bool:
        return False

    def footprint(self, precision: str, plain_bytes: int, prompt_tokens: int, fused: bool = True) -> Footprint:
        rows = _ROWS + (prompt_tokens if self.in_one_sequence else 0)
        return Footprint(
            experts=0,
            attention=self.attention * plain_bytes,
            dense=(self.feed_forward + self.folded) * plain_bytes,
            embedding=self.embedding * plain_bytes,
            prompt=self.key_values * prompt_tokens * plain_bytes,
            step=self.vocabulary * JUDGED_ROWS * _LOGIT_BYTES + rows * self.widest * plain_bytes,
        )


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
