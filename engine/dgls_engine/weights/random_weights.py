"""Makes a model of any shape and precision with random weights, for benchmarks without a checkpoint.

    model = random_model(config, torch.device("cuda"), "int4")

The weights are made on the model's device and packed a few experts at a time, so a full-size model needs neither files
nor host memory. Its output is noise, but a pass costs the same as with real weights. Runs on the calling thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dgls_engine.device import translate_memory_errors
from dgls_engine.model.families import family_of
from dgls_engine.model.slots import Slot
from dgls_engine.weights.precision import Precision, candidates, precision_named
from dgls_engine.weights.streaming import fill

_SPREAD = 0.02
"""Standard deviation of the matrices. Norms and scalars are 1, as in an untrained model."""


def random_model(config: Mapping[str, Any], device: torch.device, dtype: str, seed: int = 0) -> nn.Module:
    """`config` is a `config.json`, `dtype` as in `Engine.open`. On one device the same seed gives the same weights."""
    family = family_of(config)
    assert family is not None, "no family runs a model with this config"
    model, size = family.build(config, {}), family.size(config)
    precision = precision_named(candidates(dtype, device, size)[0], device, size)
    with translate_memory_errors(device):
        fill(family, model, _Noise(device, precision, seed), precision, device)
    return model


class _Noise:
    """A `streaming.Source` of random tensors, drawn from one generator in the order of the requests."""

    def __init__(self, device: torch.device, precision: Precision, seed: int) -> None:
        self._device, self._type = device, precision.plain
        self._generator = torch.Generator(device).manual_seed(seed)

    def whole(self, slot: Slot) -> Tensor:
        if len(slot.shape) == 1:
            return torch.ones(slot.shape, device=self._device, dtype=self._type)
        return self._matrix(slot.shape)

    def slice(self, slot: Slot, first: int, last: int) -> Tensor:
        return self._matrix((last - first, *slot.shape[1:]))

    def _matrix(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, device=self._device, dtype=self._type).normal_(0, _SPREAD, generator=self._generator)
