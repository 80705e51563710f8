"""Every token through its own experts, on packed weights, in four launches and without a word from the host.

    grouped_experts(hidden [T, D], chosen [T, k], shares [T, k], gate_up [E, 2I, D], down [E, D, I]) -> [T, D]

The S = T * k pairs of a token and an expert are sorted by expert (`_sort`); gate and up are multiplied and activated
(`_gate_up`), then down, times the pair's share (`_down`); a token's k results are added in a fixed order (`_add_up`),
so the same input gives the same bits. Grids depend on shapes alone: all of it can be captured in a CUDA graph.

A program multiplies the rows of one expert with two strips of its weights, unpacked in registers. While one denoises,
an expert has 4 to 16 rows and the time goes into reading weights, so all its rows fit one tile and each weight is read
once. BY_HAND as in `unpacking`; without it all is multiplied in float32. The activation is GELU in its tanh form.
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
    """How the work is cut."""

    rows: int  # of an expert that a program multiplies at once, at least 16
    gate_up: int  # columns of a strip: one strip of gate, one of up
    down: int  # columns of a strip: two neighbouring ones
    sharing: int = 1  # programs that take turns on an expert's rows
    warps: int = 4
    stages: int = 4

    def launch(self) -> dict[str, int]:
        return {"ROWS": self.rows, "num_warps": self.warps, "num_stages": self.stages}


def tiles(pairs: int, experts: int) -> Tiles:
    """By the mean number of rows an expert gets; some get twice as many, and then read their weights twice.

    Compiled for an H100, none of these spills and three or four programs fit a multiprocessor, so that some 48 KB of
    weights are on their way to each. Strips divide the published model's 704 and 2,816 columns.
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
    """hidden [T, D], bfloat16 if `by_hand`; chosen int64, shares [T, k]. Returns [T, D] like `hidden`."""
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
        hidden.contiguous(), *_tensors(gate_up), *sorted_, activated, inner, width,
        TOP_K=top_k, OUT=cut.gate_up, BY_HAND=by_hand, **_kind(gate_up), **cut.launch(),
    )  # fmt: skip
    _down[(triton.cdiv(width, 2 * cut.down), experts, cut.sharing)](
        activated, *_tensors(down), *sorted_, shares.contiguous(), results, inner, width,
        OUT=cut.down, BY_HAND=by_hand, **_kind(down), **cut.launch(),
    )  # fmt: skip
    _add_up[(tokens, triton.cdiv(width, 1024))](results, summed, width, TOP_K=top_k, COLUMNS=1024)
    return summed


def _tensors(packed: Packed) -> tuple[Tensor, Tensor, Tensor]:
    """Values as bytes, scales, zeros; any tensor where there are no zeros, since nobody reads it."""
    return packed.values.view(torch.uint8), packed.scales, packed.scales if packed.zeros is None else packed.zeros


def _kind(packed: Packed) -> dict[str, Any]:
    return {"INT4": packed.packing == "int4", "ZEROS": packed.zeros is not None}


@triton.jit(do_not_specialize=["pairs"])  # prompts are of any length; compiled anew, one would wait for it
def _sort(chosen, order, starts, pairs, experts, CHUNK: tl.constexpr):
    """order[starts[e]:starts[e + 1]]: the pairs that chose expert e, ascending. One program an expert."""
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
        mine = (ids == expert).to(tl.int32)
        tl.store(order + place + tl.cumsum(mine) - 1, first + lane, mask=mine > 0)
        place += tl.sum(mine)
    if expert == experts - 1:
        tl.store(starts + experts, place)


@triton.jit
def _own(values, scales, zeros, rows, width, INT4: tl.constexpr):
    """Where this program's expert begins in each, and its number. rows, width: of one expert's weights."""
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
    """Two products, float32 [ROWS, OUT] each, at once, since an input that is read serves both.

    inputs [ROWS]: where each input of `width` begins, `real` which of them there are; one, other [OUT]: which of the
    expert's `rows` of weights. A turn takes a group: its low halves and its high ones, as they are packed.
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
            # Read where they are used, not a turn ahead: a value that the loop carries would keep the compiler from
            # unpacking in the registers that the product reads, and send the weights through shared memory.
            scale1, offset1 = step(scales, zeros, group, rows, one, ZEROS, BY_HAND)
            scale2, offset2 = step(scales, zeros, group, rows, other, ZEROS, BY_HAND)
            at = (group * 32 + half)[:, None]
            bytes1 = tl.load(values + one[None, :] * (groups * 32) + at)
            bytes2 = tl.load(values + other[None, :] * (groups * 32) + at)
            low1, high1 = unpack_int4(bytes1, scale1[None, :], offset1[None, :], BY_HAND)
            low2, high2 = unpack_int4(bytes2, scale2[None, :], offset2[None, :], BY_HAND)
        else:
            there, behind = (low < width)[:, None], (high < width)[:, None]
            at1, at2 = values + one[None, :] * width, values + other[None, :] * width
            low1 = unpack_fp8(tl.load(at1 + low[:, None], mask=there, other=0), BY_HAND)
            high1 = unpack_fp8(tl.load(at1 + high[:, None], mask=behind, other=0), BY_HAND)
            low2 = unpack_fp8(tl.load(at2 + low[:, None], mask=there, other=0), BY_HAND)
            high2 = unpack_fp8(tl.load(at2 + high[:, None], mask=behind, other=0), BY_HAND)
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
    """activated [S, inner], in the sorted order: gelu(gate) * up."""
    values, scales, zeros, expert = _own(values, scales, zeros, 2 * inner, width, INT4)
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
        made = gate / (1 + tl.exp(-1.5957691216057308 * (gate + 0.044715 * gate * gate * gate))) * up
        at = activated + place.to(tl.int64)[:, None] * inner + column[None, :]
        tl.store(at, made, mask=real[:, None] & (column < inner)[None, :])


@triton.jit
def _down(
    activated, values, scales, zeros, order, starts, shares, results, inner, width,
    INT4: tl.constexpr, ZEROS: tl.constexpr, BY_HAND: tl.constexpr, ROWS: tl.constexpr, OUT: tl.constexpr,
):  # fmt: skip
    """results [S, width], in the order of `chosen`: each pair's output times its share."""
    values, scales, zeros, expert = _own(values, scales, zeros, width, inner, INT4)
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
        at = results + pair.to(tl.int64)[:, None] * width
        tl.store(at + column[None, :], left * share, mask=real[:, None] & (column < width)[None, :])
        tl.store(at + beyond[None, :], right * share, mask=real[:, None] & (beyond < width)[None, :])


@triton.jit
def _add_up(results, summed, width, TOP_K: tl.constexpr, COLUMNS: tl.constexpr):
    """summed [T, width]: a token's TOP_K results, added in their order."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < width
    total = tl.zeros([COLUMNS], tl.float32)
    for place in tl.static_range(TOP_K):
        total += tl.load(results + (token * TOP_K + place) * width + column, mask=there, other=0.0).to(tl.float32)
    tl.store(summed + token * width + column, total, mask=there)
