"""Canvases of different lengths as one batch on a device. Knows tensors, no model. Runs on the engine thread.

Shapes: B canvases, C canvas, R rows of all canvases.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

Places = tuple[Tensor, Tensor]
"""Rows of a batch, as an index into [B, C]: which canvas [R], and where in it [R]."""


def stacked(canvases: Sequence[Tensor], device: torch.device) -> Tensor:
    """Canvases [C] each, from the CPU, as one batch [B, C] on `device`, padded on the right."""
    return sent(pad_sequence(list(canvases), batch_first=True), device)


def places(rows: Sequence[Tensor], device: torch.device) -> Places:
    """The `rows` of each canvas, positions [R_b] on the CPU, as places in the batch."""
    numbers = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(own) for own in rows]))
    number, position = sent(torch.stack([numbers, torch.cat(list(rows))]), device)
    return number, position


def sent(values: Tensor, device: torch.device) -> Tensor:
    """`values` from the CPU on `device`, without waiting for the device."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
