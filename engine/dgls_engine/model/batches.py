"""Puts canvases of different lengths into one batch on a device.

Knows tensors and ids, no model; runs on the engine thread. Shapes: B canvases, C canvas, R rows of all canvases.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

Places = tuple[Tensor, Tensor]
"""An index into a batch [B, C]: the canvas of each row [R], and its position in that canvas [R]."""


def stacked(canvases: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """The ids of each canvas as one batch [B, C] on `device`, padded on the right."""
    width = max(map(len, canvases))
    return sent(torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in canvases]), device)


def places(rows: Sequence[Sequence[int]], device: torch.device) -> Places:
    """The `rows` of each canvas as an index into the batch."""
    numbers = [number for number, positions in enumerate(rows) for _ in positions]
    number, position = sent(torch.tensor([numbers, list(chain.from_iterable(rows))], dtype=torch.long), device)
    return number, position


def sent(values: Tensor, device: torch.device) -> Tensor:
    """`values` from the CPU, copied to `device` without waiting for it."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """The number of equal tokens at the start of two sequences."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
