"""Packs weights into four, eight or sixteen bits, with scales: of experts, and of dense layers as a single expert.

    pack(weight [E, N, K], "int4", zeros=prefers_zeros(weight)) -> Packed -> unpack(packed, dtype) [E, N, K]

int4: groups of 64 along the input K (the last group is padded with zeros), w = (q - z) * scale with q in 0..15. Byte j
of a group's 32 bytes holds element j in its low half and element 32 + j in its high half, so a kernel unpacks a group
without moving data between lanes. z is 8 (symmetric), or the group's zero point in sixteenths, one byte; then q - z is
exact in bfloat16. This takes 4.25 or 4.375 bits a weight. Scales and zero points of neighbouring outputs are adjacent,
because kernels read them together.
fp8: e4m3, w = value * scale, with one scale for each output row.
int8: the same with whole numbers from -127 to 127.
float16: the weights themselves; the scales are 1.

Scales are bfloat16. They are rounded before the values are, and minimise the squared error, so their rounding costs
nothing. `pack` works on any slice of experts, on the slice's device, one expert at a time, so it needs memory for the
result and a few copies of one expert. Knows tensors; neither models nor files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Packing = Literal["int4", "fp8", "int8", "float16"]
PACKINGS: tuple[Packing, ...] = get_args(Packing)

VERSION = 2
"""Version of the layout and of the choice of scales. Weights packed under another version are packed again."""

GROUP = 64
HALF = GROUP // 2
ZERO_STEPS = 16
"""A zero point is stored in units of 1/ZERO_STEPS of a quantisation step."""

_SYMMETRIC_ZERO = 8
_FP8 = torch.float8_e4m3fn
_FP8_MAX = torch.finfo(_FP8).max
_INT8_MAX = 127
_OF_TYPE: Mapping[torch.dtype, Packing] = {
    torch.uint8: "int4",
    _FP8: "fp8",
    torch.int8: "int8",
    torch.float16: "float16",
}
"""The packing of values of a type."""
_CLIPPED = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76, 0.72)
"""Shares of a group's range that `pack` tries: clipping the extreme weights makes the steps finer for all others."""

_WORTH_IT = 0.8
"""int4 gets zero points if they reduce the squared error to less than this share. They cost 3 % more bytes, and so
time: 0.36 GB of the published model. On uniform weights the share is 0.9, and the experts' outputs are no better with
zero points (docs/experiments/packing.md)."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One projection of E experts, N outputs, K inputs; G = K / 64, rounded up."""

    values: Tensor  # int4: uint8 [E, N, G * 32]; others: float8_e4m3fn, int8 or float16 [E, N, K]
    scales: Tensor  # bfloat16; int4: [E, G, N]; others: [E, 1, N]
    zeros: Tensor | None  # uint8 [E, G, N], in sixteenths; int4 with zero points only
    columns: int  # K

    @property
    def packing(self) -> Packing:
        return _OF_TYPE[self.values.dtype]

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (self.values, self.scales, self.zeros) if tensor is not None)


def packed_bytes(shape: tuple[int, int, int], packing: Packing, zeros: bool) -> int:
    """The bytes of a packed weight of the shape [E, N, K]."""
    experts, rows, columns = shape
    if packing != "int4":
        return experts * rows * (columns * (2 if packing == "float16" else 1) + 2)
    groups = -(-columns // GROUP)
    return experts * rows * groups * (HALF + 2 + zeros)


def pack(weight: Tensor, packing: Packing, zeros: bool) -> Packed:
    """Pack a floating-point weight [E, N, K]. `zeros`: whether int4 gets zero points; the others have
    none."""
    pack_one = _BY_ROWS.get(packing, functools.partial(_pack_int4, zeros=zeros))
    experts = [pack_one(one.float()) for one in weight]
    values, scales, points = zip(*experts, strict=True)
    zero_points = torch.stack([point for point in points if point is not None]) if points[0] is not None else None
    return Packed(torch.stack(values), torch.stack(scales), zero_points, weight.shape[-1])


def pack_rows(weight: Tensor, packing: Packing) -> Packed:
    """Pack the weight [N, K] of a dense layer, as a single expert."""
    return pack(weight[None], packing, packing == "int4" and prefers_zeros(weight[None]))


def unpack(packed: Packed, dtype: torch.dtype) -> Tensor:
    """The weights [E, N, K] in `dtype` that `packed` represents."""
    if packed.packing != "int4":
        return (packed.values.float() * packed.scales.mT.float()).to(dtype)
    scales = packed.scales.mT.unsqueeze(-1).float()  # [E, N, G, 1]
    bytes_ = packed.values.reshape(*scales.shape[:-1], HALF)  # [E, N, G, 32]
    steps = torch.cat([bytes_ & 15, bytes_ >> 4], dim=-1).float()  # [E, N, G, 64]
    zero = _SYMMETRIC_ZERO if packed.zeros is None else packed.zeros.mT.unsqueeze(-1).float() / ZERO_STEPS
    return ((steps - zero) * scales).flatten(-2)[..., : packed.columns].to(dtype)


def joined(parts: Sequence[Packed], along: Literal["experts", "rows"]) -> Packed:
    """One weight of several, which have equal shapes but for the number of experts or of rows (outputs)."""
    if len(parts) == 1:
        return parts[0]
    outputs = along == "rows"
    zeros = [part.zeros for part in parts if part.zeros is not None]
    if zeros and len(zeros) < len(parts):  # to those without zero points, the symmetric one is given
        zeros = [_zeros_of(part) for part in parts]
    return Packed(
        torch.cat([part.values for part in parts], 1 if outputs else 0),
        torch.cat([part.scales for part in parts], -1 if outputs else 0),
        torch.cat(zeros, -1 if outputs else 0) if zeros else None,
        parts[0].columns,
    )


def rows_of(packed: Packed, first: int, last: int) -> Packed:
    """The rows `first` to `last` (exclusive) of each expert."""
    zeros = None if packed.zeros is None else packed.zeros[..., first:last]
    return Packed(packed.values[:, first:last], packed.scales[..., first:last], zeros, packed.columns)


def _zeros_of(packed: Packed) -> Tensor:
    if packed.zeros is not None:
        return packed.zeros
    return torch.full_like(packed.scales, _SYMMETRIC_ZERO * ZERO_STEPS, dtype=torch.uint8)


def prefers_zeros(weight: Tensor) -> bool:
    """Whether int4 should have zero points, from the squared errors of weight [E, N, K] with and without them.

    A few experts of a projection are enough.
    """
    exact = weight.float()
    symmetric, with_zeros = (
        float((unpack(pack(weight, "int4", zeros), torch.float32) - exact).square().sum()) for zeros in (False, True)
    )
    return with_zeros < _WORTH_IT * symmetric


def relative_error(weight: Tensor, packed: Packed) -> float:
    """The norm of the packing's error, divided by the norm of the weights."""
    exact = weight.float()
    return float((unpack(packed, torch.float32) - exact).norm() / exact.norm().clamp_min(1e-30))


def _pack_int4(weight: Tensor, zeros: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """weight [N, K] -> values [N, G * 32], scales [G, N], zeros [G, N] or None."""
    filled = functional.pad(weight, (0, -weight.shape[-1] % GROUP))
    groups = filled.reshape(weight.shape[0], -1, GROUP)  # [N, G, 64]
    low, high = groups.amin(-1, keepdim=True).clamp_max(0), groups.amax(-1, keepdim=True).clamp_min(0)
    farthest = torch.where(high > -low, high, low)  # becomes step -8, because the largest positive step is 7
    least_error = torch.full_like(low, torch.inf)
    steps, scale, zero = torch.zeros_like(groups), torch.zeros_like(low), torch.full_like(low, _SYMMETRIC_ZERO)
    for share in _CLIPPED:
        if zeros:
            candidate = _bf16((high - low) * share / 15)
            point = (-low * share / _nonzero(candidate) * ZERO_STEPS).round().clamp(0, 255) / ZERO_STEPS
        else:
            candidate, point = _bf16(farthest * (-share / 8)), zero
        offsets = _rounded(groups, candidate, point) - point
        candidate = _bf16((groups * offsets).sum(-1, keepdim=True) / _nonzero(offsets.square().sum(-1, keepdim=True)))
        rounded = _rounded(groups, candidate, point)
        error = (groups - (rounded - point) * candidate).square().sum(-1, keepdim=True)
        better = error < least_error
        least_error = torch.where(better, error, least_error)
        steps, scale = torch.where(better, rounded, steps), torch.where(better, candidate, scale)
        zero = torch.where(better, point, zero) if zeros else zero
    whole = steps.to(torch.uint8)
    values = (whole[..., :HALF] | whole[..., HALF:] << 4).flatten(-2)
    points = (zero * ZERO_STEPS).to(torch.uint8).squeeze(-1).mT if zeros else None
    return values, scale.to(torch.bfloat16).squeeze(-1).mT, points


def _pack_fp8(weight: Tensor) -> tuple[Tensor, Tensor, None]:
    """weight [N, K] -> values [N, K], scales [1, N]. The relative precision of floating point is the same nearly
    everywhere in its range, so the largest weight of a row determines its scale."""
    scale = _bf16(weight.abs().amax(-1, keepdim=True) / _FP8_MAX)
    values = (weight / _nonzero(scale)).clamp(-_FP8_MAX, _FP8_MAX).to(_FP8)
    return values, scale.to(torch.bfloat16).mT, None


def _pack_int8(weight: Tensor) -> tuple[Tensor, Tensor, None]:
    """weight [N, K] -> values [N, K], scales [1, N]."""
    scale = _bf16(weight.abs().amax(-1, keepdim=True) / _INT8_MAX)
    values = (weight / _nonzero(scale)).round().clamp(-_INT8_MAX, _INT8_MAX).to(torch.int8)
    return values, scale.to(torch.bfloat16).mT, None


def _pack_float16(weight: Tensor) -> tuple[Tensor, Tensor, None]:
    largest = torch.finfo(torch.float16).max
    ones = torch.ones(1, len(weight), dtype=torch.bfloat16, device=weight.device)
    return weight.clamp(-largest, largest).to(torch.float16), ones, None


_BY_ROWS: Mapping[Packing, Callable[[Tensor], tuple[Tensor, Tensor, Tensor | None]]] = {
    "fp8": _pack_fp8,
    "int8": _pack_int8,
    "float16": _pack_float16,
}
"""How a weight [N, K] is packed with one scale for each row."""


def _rounded(groups: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """The nearest step, 0..15, of each weight."""
    return (groups / _nonzero(scale) + zero).round().clamp(0, 15)


def _bf16(values: Tensor) -> Tensor:
    """`values` rounded to bfloat16, in float32."""
    return values.to(torch.bfloat16).float()


def _nonzero(divisor: Tensor) -> Tensor:
    return torch.where(divisor == 0, torch.ones_like(divisor), divisor)
