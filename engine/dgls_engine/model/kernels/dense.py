"""A dense layer's product with a packed weight, in one launch: the inner loop of the experts' kernel (`grouped`).

    packed_linear(rows [T, K], weight [1, N, K]) -> [T, N]

A program multiplies a tile of rows with two strips of the weight, which it unpacks in registers. During denoising all
rows fit one tile, so each weight is read once. BY_HAND is explained in `unpacking`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from dgls_engine.model.kernels.grouped import _two_strips, kind_of, tensors_of
from dgls_engine.model.packing import Packed


@dataclass(frozen=True, slots=True)
class Cut:
    """Tile sizes and launch options. A program has `rows` rows, at least 16, and two strips of `columns` columns."""

    rows: int
    columns: int
    warps: int = 4
    stages: int = 4


def cut_of(rows: int, outputs: int) -> Cut:
    """Strips that are narrow enough to occupy a card's hundred multiprocessors. Not measured on a GPU yet."""
    tile = 16 if rows <= 16 else 32 if rows <= 32 else 64
    return Cut(tile, 16 if outputs <= 8192 else 32 if outputs <= 16384 else 64, stages=3 if tile == 64 else 4)


def packed_linear(rows: Tensor, weight: Packed, cut: Cut | None = None, by_hand: bool = True) -> Tensor:
    """`rows` are bfloat16 if `by_hand`."""
    count, outputs = len(rows), weight.values.shape[1]
    cut = cut or cut_of(count, outputs)
    results = torch.empty(count, outputs, device=rows.device, dtype=rows.dtype)
    grid = triton.cdiv(outputs, 2 * cut.columns), triton.cdiv(count, cut.rows)
    _multiply[grid](
        rows.contiguous(), *tensors_of(weight), results, count, outputs, weight.columns,
        **kind_of(weight), BY_HAND=by_hand, ROWS=cut.rows, OUT=cut.columns, num_warps=cut.warps, num_stages=cut.stages,
    )  # fmt: skip
    return results


@triton.jit(do_not_specialize=["count"])  # canvases have any number of rows, and each specialisation is a compilation
def _multiply(
    rows, values, scales, zeros, results, count, outputs, width,
    INT4: tl.constexpr, ZEROS: tl.constexpr, BY_HAND: tl.constexpr, ROWS: tl.constexpr, OUT: tl.constexpr,
):  # fmt: skip
    """Writes `results` [count, outputs]."""
    column = tl.program_id(0) * 2 * OUT + tl.arange(0, OUT)
    beyond = column + OUT
    place = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    real = place < count
    one, other = tl.minimum(column, outputs - 1).to(tl.int64), tl.minimum(beyond, outputs - 1).to(tl.int64)
    left, right = _two_strips(
        rows + place.to(tl.int64) * width, real, width, values, scales, zeros, outputs, one, other,
        INT4, ZEROS, BY_HAND, ROWS, OUT,
    )  # fmt: skip
    row = results + place.to(tl.int64)[:, None] * outputs
    tl.store(row + column[None, :], left, mask=real[:, None] & (column < outputs)[None, :])
    tl.store(row + beyond[None, :], right, mask=real[:, None] & (beyond < outputs)[None, :])
