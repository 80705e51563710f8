"""The experts' forward pass on packed weights, in four launches and without waiting for the host.

    grouped_experts(hidden [T, D], chosen [T, k], shares [T, k], gate_up [E, 2I, D], down [E, D, I]) -> [T, D]

`_sort` sorts the S = T * k pairs of a token and an expert by expert. `_gate_up` multiplies with gate and up and applies
the activation, GELU in its tanh form. `_down` multiplies with down and the pair's share. `_add_up` adds the k results
of a token in a fixed order, so the same input gives the same bits. Grids depend on shapes alone, so a CUDA graph can
capture all launches.

A program multiplies the rows of one expert with two strips of its weights, which it unpacks in registers. During
denoising an expert has 4 to 16 rows, and most time is spent on reading weights: all rows fit one tile, so each weight
is read once. BY_HAND is explained in `unpacking`; without it, the products are in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from dgls_engine.model.kernels.unpacking import fetch_early, step, unpack_fp8, unpack_int4
from dgls_engine.model.packing import Packed


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tile sizes and launch options."""

    rows: int  # rows of an expert that a program multiplies at once, at least 16
    gate_up: int  # columns of a strip; a program has a strip of gate and one of up
    down: int  # columns of a strip; a program has two neighbouring strips
    sharing: int = 1  # programs that share an expert's rows
    warps: int = 4
    stages: int = 4

    def launch(self) -> dict[str, int]:
        return {"ROWS": self.rows, "num_warps": self.warps, "num_stages": self.stages}


def tiles(pairs: int, experts: int) -> Tiles:
    """Tiles for the mean number of rows of an expert. An expert with twice as many rows reads its weights twice.

    On an H100 none of these spills registers, and three or four programs fit on a multiprocessor, so some 48 KB of
    weights are in flight for each. The strips divide the published model's 704 and 2,816 columns.
    """
    rows = pairs / experts
    if rows <= 10:
        return Tiles(rows=16, gate_up=64, down=64, stages=4)
    if rows <= 24:
        return Tiles(rows=32, gate_up=64, down=64, stages=4)
    return Tiles(rows=64, gate_up=64, down=64, stages=3, sharing=2 if rows > 64 else 1)


def grouped_experts(
    hidden: Tensor,
    chosen: Tensor,
    shares: Tensor,
    gate_up: Packed,
    down: Packed,
    cut: Tiles | None = None,
    by_hand: bool = True,
) -> Tensor:
    """The experts' output [T, D]. `hidden` [T, D], bfloat16 if `by_hand`; `chosen` int64 and `shares` [T, k]."""
    (tokens, width), top_k = hidden.shape, chosen.shape[1]
    experts, inner, pairs = gate_up.values.shape[0], down.columns, chosen.numel()
    cut = cut or tiles(pairs, experts)
    order = torch.empty(pairs, dtype=torch.int32, device=hidden.device)
    starts = torch.empty(experts + 1, dtype=torch.int32, device=hidden.device)
    activated = hidden.new_empty((pairs, inner))
    results = hidden.new_empty((pairs, width))
    summed = torch.empty_like(hidden)
    _sort[(experts,)](chosen.contiguous(), order, starts, pairs, experts, CHUNK=1024)
    sorted_ = (order, starts)
    _gate_up[(triton.cdiv(inner, cut.gate_up), experts, cut.sharing)](
        hidden.contiguous(), *tensors_of(gate_up), *sorted_, activated, inner, width,
        TOP_K=top_k, OUT=cut.gate_up, BY_HAND=by_hand, **kind_of(gate_up), **cut.launch(),
    )  # fmt: skip
    _down[(triton.cdiv(width, 2 * cut.down), experts, cut.sharing)](
        activated, *tensors_of(down), *sorted_, shares.contiguous(), results, inner, width,
        OUT=cut.down, BY_HAND=by_hand, **kind_of(down), **cut.launch(),
    )  # fmt: skip
    _add_up[(tokens, triton.cdiv(width, 1024))](results, summed, width, TOP_K=top_k, COLUMNS=1024)
    return summed


def tensors_of(packed: Packed) -> tuple[Tensor, Tensor, Tensor]:
    """Values as bytes, scales, zeros. Without zeros the third tensor is arbitrary: no kernel reads it."""
    return packed.values.view(torch.uint8), packed.scales, packed.scales if packed.zeros is None else packed.zeros


def kind_of(packed: Packed) -> dict[str, Any]:
    return {"INT4": packed.packing == "int4", "ZEROS": packed.zeros is not None}


@triton.jit(do_not_specialize=["pairs"])  # prompts have any length, and each specialisation needs a compilation
def _sort(chosen, order, starts, pairs, experts, CHUNK: tl.constexpr):
    """Writes `order` and `starts`: order[starts[e]:starts[e + 1]] are the pairs with expert e, ascending. One program
    for each expert."""
    expert = tl.program_id(0)
    lane = tl.arange(0, CHUNK)
    before = tl.zeros([CHUNK], tl.int32)
    for first in range(0, pairs, CHUNK):
        ids = tl.load(chosen + first + lane, mask=first + lane < pairs, other=experts)
        before += (ids < expert).to(tl.int32)
    place = tl.sum(before)
    tl.store(starts + expert, place)
    for first in range(0, pairs, CHUNK):
        ids = tl.load(chosen + first + lane, mask=first + lane < pairs, other=experts)
        matches = (ids == expert).to(tl.int32)
        tl.store(order + place + tl.cumsum(matches) - 1, first + lane, mask=matches > 0)
        place += tl.sum(matches)
    if expert == experts - 1:
        tl.store(starts + experts, place)


@triton.jit
def _expert(values, scales, zeros, rows, width, INT4: tl.constexpr):
    """The addresses of this program's expert in each tensor, and its number. `rows`, `width`: the shape of one expert's
    weights."""
    expert = tl.program_id(1).to(tl.int64)
    groups = tl.cdiv(width, 64)
    if INT4:
        values += expert * rows * groups * 32
        scales += expert * rows * groups
        zeros += expert * rows * groups
    else:
        values += expert * rows * width
        scales += expert * rows
    return values, scales, zeros, expert


@triton.jit
def _two_strips(
    inputs, real, width, values, scales, zeros, rows, one, other,
    INT4: tl.constexpr, ZEROS: tl.constexpr, BY_HAND: tl.constexpr, ROWS: tl.constexpr, OUT: tl.constexpr,
):  # fmt: skip
    """Two products, float32 [ROWS, OUT] each, in one loop, because they share their inputs.

    `inputs` [ROWS]: the addresses of the inputs, each of `width` values; `real` [ROWS]: which of them exist. `one`,
    `other` [OUT]: the rows of the expert's weights. An iteration processes one group: its low halves, then its high
    halves.
    """
    half = tl.arange(0, 32)
    groups = tl.cdiv(width, 64)
    first = tl.zeros([ROWS, OUT], tl.float32)
    second = tl.zeros([ROWS, OUT], tl.float32)
    if INT4 and BY_HAND:
        fetch_early(scales, rows, groups, one, other)
        if ZEROS:
            fetch_early(zeros, rows, groups, one, other)
    for group in range(0, groups):
        low = group * 64 + half
        high = low + 32
        x_low = tl.load(inputs[:, None] + low[None, :], mask=real[:, None] & (low < width)[None, :], other=0.0)
        x_high = tl.load(inputs[:, None] + high[None, :], mask=real[:, None] & (high < width)[None, :], other=0.0)
        if not BY_HAND:
            x_low, x_high = x_low.to(tl.float32), x_high.to(tl.float32)
        if INT4:
            # Load these here, not an iteration ahead: a loop-carried value makes the compiler move the unpacked
            # weights through shared memory, instead of unpacking them in the registers that the product reads.
            scale1, offset1 = step(scales, zeros, group, rows, one, ZEROS, BY_HAND)
            scale2, offset2 = step(scales, zeros, group, rows, other, ZEROS, BY_HAND)
            offset = (group * 32 + half)[:, None]
            bytes1 = tl.load(values + one[None, :] * (groups * 32) + offset)
            bytes2 = tl.load(values + other[None, :] * (groups * 32) + offset)
            low1, high1 = unpack_int4(bytes1, scale1[None, :], offset1[None, :], BY_HAND)
            low2, high2 = unpack_int4(bytes2, scale2[None, :], offset2[None, :], BY_HAND)
        else:
            low_valid, high_valid = (low < width)[:, None], (high < width)[:, None]
            row1, row2 = values + one[None, :] * width, values + other[None, :] * width
            low1 = unpack_fp8(tl.load(row1 + low[:, None], mask=low_valid, other=0), BY_HAND)
            high1 = unpack_fp8(tl.load(row1 + high[:, None], mask=high_valid, other=0), BY_HAND)
            low2 = unpack_fp8(tl.load(row2 + low[:, None], mask=low_valid, other=0), BY_HAND)
            high2 = unpack_fp8(tl.load(row2 + high[:, None], mask=high_valid, other=0), BY_HAND)
        first = tl.dot(x_low, low1, first, input_precision="ieee")
        first = tl.dot(x_high, high1, first, input_precision="ieee")
        second = tl.dot(x_low, low2, second, input_precision="ieee")
        second = tl.dot(x_high, high2, second, input_precision="ieee")
    if not INT4:
        first *= tl.load(scales + one)[None, :].to(tl.float32)
        second *= tl.load(scales + other)[None, :].to(tl.float32)
    return first, second


@triton.jit
def _gate_up(
    hidden, values, scales, zeros, order, starts, activated, inner, width, TOP_K: tl.constexpr,
    INT4: tl.constexpr, ZEROS: tl.constexpr, BY_HAND: tl.constexpr, ROWS: tl.constexpr, OUT: tl.constexpr,
):  # fmt: skip
    """Writes `activated` [S, inner] = gelu(gate) * up, in the sorted order."""
    values, scales, zeros, expert = _expert(values, scales, zeros, 2 * inner, width, INT4)
    column = tl.program_id(0) * OUT + tl.arange(0, OUT)
    gate_row = tl.minimum(column, inner - 1)
    end = tl.load(starts + expert + 1)
    for first in range(tl.load(starts + expert) + tl.program_id(2) * ROWS, end, tl.num_programs(2) * ROWS):
        place = first + tl.arange(0, ROWS)
        real = place < end
        token = tl.load(order + place, mask=real, other=0) // TOP_K
        gate, up = _two_strips(
            hidden + token.to(tl.int64) * width, real, width, values, scales, zeros, 2 * inner,
            gate_row, gate_row + inner, INT4, ZEROS, BY_HAND, ROWS, OUT,
        )  # fmt: skip
        # gelu(x) = x * (1 + tanh(y)) / 2 = x * sigmoid(2 * y), y = sqrt(2 / pi) * (x + 0.044715 * x ** 3)
        product = gate / (1 + tl.exp(-1.5957691216057308 * (gate + 0.044715 * gate * gate * gate))) * up
        address = activated + place.to(tl.int64)[:, None] * inner + column[None, :]
        tl.store(address, product, mask=real[:, None] & (column < inner)[None, :])


@triton.jit
def _down(
    activated, values, scales, zeros, order, starts, shares, results, inner, width,
    INT4: tl.constexpr, ZEROS: tl.constexpr, BY_HAND: tl.constexpr, ROWS: tl.constexpr, OUT: tl.constexpr,
):  # fmt: skip
    """Writes `results` [S, width], in the order of `chosen`: each pair's output times its share."""
    values, scales, zeros, expert = _expert(values, scales, zeros, width, inner, INT4)
    column = tl.program_id(0) * 2 * OUT + tl.arange(0, OUT)
    beyond = column + OUT
    end = tl.load(starts + expert + 1)
    for first in range(tl.load(starts + expert) + tl.program_id(2) * ROWS, end, tl.num_programs(2) * ROWS):
        place = first + tl.arange(0, ROWS)
        real = place < end
        pair = tl.load(order + place, mask=real, other=0)
        share = tl.load(shares + pair, mask=real, other=0.0).to(tl.float32)[:, None]
        left, right = _two_strips(
            activated + place.to(tl.int64) * inner, real, inner, values, scales, zeros, width,
            tl.minimum(column, width - 1), tl.minimum(beyond, width - 1), INT4, ZEROS, BY_HAND, ROWS, OUT,
        )  # fmt: skip
        row = results + pair.to(tl.int64)[:, None] * width
        tl.store(row + column[None, :], left * share, mask=real[:, None] & (column < width)[None, :])
        tl.store(row + beyond[None, :], right * share, mask=real[:, None] & (beyond < width)[None, :])


@triton.jit
def _add_up(results, summed, width, TOP_K: tl.constexpr, COLUMNS: tl.constexpr):
    """Writes `summed` [T, width]: the sum of a token's TOP_K results, in their order."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    valid = column < width
    total = tl.zeros([COLUMNS], tl.float32)
    for place in tl.static_range(TOP_K):
        total += tl.load(results + (token * TOP_K + place) * width + column, mask=valid, other=0.0).to(tl.float32)
    tl.store(summed + token * width + column, total, mask=valid)
