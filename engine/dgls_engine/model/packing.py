"""Experts' weights in fewer bits: four, or eight in floating point, each with scales.

    pack(weight [E, N, K], "int4", zeros=prefers_zeros(weight)) -> Packed -> unpack(packed, dtype) [E, N, K]

int4: groups of 64 along the input (K, filled up to whole groups with zeros), w = (q - z) * scale with q in 0..15.
Byte j of a group's 32 holds its element j in the low half and element 32 + j in the high one, so that a kernel reads
the halves of a group without moving anything between lanes. z is 8 (symmetric), or the group's own zero point in
sixteenths, a byte: the difference q - z then is exact in bfloat16. That is 4.25 or 4.375 bits a weight. Scales and
zero points of neighbouring outputs lie side by side, since that is how they are read.
fp8: e4m3, w = value * scale with one scale an output row.

Scales are bfloat16, chosen for the least squared error before the values are rounded, so their own rounding costs
nothing. Works on any slice of experts, on the device that the slice lies on; an expert at a time, so what it needs
beside its result is a few copies of one expert. Knows tensors; neither models nor files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Packing = Literal["int4", "fp8"]
PACKINGS: tuple[Packing, ...] = get_args(Packing)

VERSION = 1
"""Of the layout and of how scales are chosen: what was packed under another one is packed again."""

GROUP = 64
HALF = GROUP // 2
ZERO_STEPS = 16
"""Parts of a quantisation step in which a zero point is told."""

_SYMMETRIC_ZERO = 8
_FP8 = torch.float8_e4m3fn
_FP8_MAX = torch.finfo(_FP8).max
_CLIPPED = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76, 0.72)
"""Shares of a group's range that are tried: cutting its farthest weights makes the steps finer for all others."""

_WORTH_IT = 0.8
"""Zero points cost 3 % more bytes, so time: 0.36 GB of the published model. What they leave of the squared error must
be less than this. On evenly spread weights it is 0.9, and the experts' outputs are no better for zero points
(docs/experiments/packing.md)."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One projection of E experts, N outputs, K inputs; G = K / 64, rounded up."""

    values: Tensor  # int4: uint8 [E, N, G * 32]; fp8: float8_e4m3fn [E, N, K]
    scales: Tensor  # bfloat16; int4: [E, G, N]; fp8: [E, 1, N]
    zeros: Tensor | None  # uint8 [E, G, N], in sixteenths; int4 with zero points only
    columns: int  # K

    @property
    def packing(self) -> Packing:
        return "int4" if self.values.dtype == torch.uint8 else "fp8"

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (self.values, self.scales, self.zeros) if tensor is not None)


def packed_bytes(shape: tuple[int, int, int], packing: Packing, zeros: bool) -> int:
    """What `pack` makes of a weight of that shape [E, N, K], in bytes."""
    experts, rows, columns = shape
    if packing == "fp8":
        return experts * rows * (columns + 2)
    groups = -(-columns // GROUP)
    return experts * rows * groups * (HALF + 2 + zeros)


def pack(weight: Tensor, packing: Packing, zeros: bool) -> Packed:
    """weight [E, N, K], floating point. `zeros` says whether int4 gets zero points; fp8 has none."""
    parts = [_pack_int4(one.float(), zeros) if packing == "int4" else _pack_fp8(one.float()) for one in weight]
    values, scales, points = zip(*parts, strict=True)
    kept = torch.stack([point for point in points if point is not None]) if points[0] is not None else None
    return Packed(torch.stack(values), torch.stack(scales), kept, weight.shape[-1])


def unpack(packed: Packed, dtype: torch.dtype) -> Tensor:
    """[E, N, K] in `dtype`: the weights that the packed ones stand for."""
    if packed.packing == "fp8":
        return (packed.values.float() * packed.scales.mT.float()).to(dtype)
    scales = packed.scales.mT.unsqueeze(-1).float()  # [E, N, G, 1]
    bytes_ = packed.values.reshape(*scales.shape[:-1], HALF)  # [E, N, G, 32]
    steps = torch.cat([bytes_ & 15, bytes_ >> 4], dim=-1).float()  # [E, N, G, 64]
    zero = _SYMMETRIC_ZERO if packed.zeros is None else packed.zeros.mT.unsqueeze(-1).float() / ZERO_STEPS
    return ((steps - zero) * scales).flatten(-2)[..., : packed.columns].to(dtype)


def prefers_zeros(weight: Tensor) -> bool:
    """Whether int4 should have zero points: by the squared error that each way leaves of weight [E, N, K].

    A few experts of a projection tell.
    """
    exact = weight.float()
    symmetric, with_zeros = (
        float((unpack(pack(weight, "int4", zeros), torch.float32) - exact).square().sum()) for zeros in (False, True)
    )
    return with_zeros < _WORTH_IT * symmetric


def relative_error(weight: Tensor, packed: Packed) -> float:
    """Root of the mean squared error over that of the weights."""
    exact = weight.float()
    return float((unpack(packed, torch.float32) - exact).norm() / exact.norm().clamp_min(1e-30))


def _pack_int4(weight: Tensor, zeros: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """weight [N, K] -> values [N, G * 32], scales [G, N], zeros [G, N] or None."""
    filled = functional.pad(weight, (0, -weight.shape[-1] % GROUP))
    groups = filled.reshape(weight.shape[0], -1, GROUP)  # [N, G, 64]
    low, high = groups.amin(-1, keepdim=True).clamp_max(0), groups.amax(-1, keepdim=True).clamp_min(0)
    farthest = torch.where(high > -low, high, low)  # takes step -8, since 7 is the last one on the other side
    best = torch.full_like(low, torch.inf)
    steps, scale, zero = torch.zeros_like(groups), torch.zeros_like(low), torch.full_like(low, _SYMMETRIC_ZERO)
    for share in _CLIPPED:
        if zeros:
            tried = _bf16((high - low) * share / 15)
            point = (-low * share / _nonzero(tried) * ZERO_STEPS).round().clamp(0, 255) / ZERO_STEPS
        else:
            tried, point = _bf16(farthest * (-share / 8)), zero
        offsets = _rounded(groups, tried, point) - point
        tried = _bf16((groups * offsets).sum(-1, keepdim=True) / _nonzero(offsets.square().sum(-1, keepdim=True)))
        rounded = _rounded(groups, tried, point)
        error = (groups - (rounded - point) * tried).square().sum(-1, keepdim=True)
        better = error < best
        best = torch.where(better, error, best)
        steps, scale = torch.where(better, rounded, steps), torch.where(better, tried, scale)
        zero = torch.where(better, point, zero) if zeros else zero
    whole = steps.to(torch.uint8)
    values = (whole[..., :HALF] | whole[..., HALF:] << 4).flatten(-2)
    points = (zero * ZERO_STEPS).to(torch.uint8).squeeze(-1).mT if zeros else None
    return values, scale.to(torch.bfloat16).squeeze(-1).mT, points


def _pack_fp8(weight: Tensor) -> tuple[Tensor, Tensor, None]:
    """weight [N, K] -> values [N, K], scales [1, N]. Floating point has the same relative precision everywhere but at
    the ends of its range, so the largest weight tells the scale."""
    scale = _bf16(weight.abs().amax(-1, keepdim=True) / _FP8_MAX)
    values = (weight / _nonzero(scale)).clamp(-_FP8_MAX, _FP8_MAX).to(_FP8)
    return values, scale.to(torch.bfloat16).mT, None


def _rounded(groups: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """The steps 0..15 nearest to the weights."""
    return (groups / _nonzero(scale) + zero).round().clamp(0, 15)


def _bf16(values: Tensor) -> Tensor:
    """Rounded as it will be stored, but still in float32."""
    return values.to(torch.bfloat16).float()


def _nonzero(divisor: Tensor) -> Tensor:
    return torch.where(divisor == 0, torch.ones_like(divisor), divisor)
