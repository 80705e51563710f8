"""Measures and samples the raw logits of a denoising step.

    measure    one pass over the raw logits: the best token, its log-probability, the entropy at the step's temperature
    spread     a second pass: turns the logits into probabilities in place and draws a token for each row
    settle     keeps the drawn tokens of the rows with the lowest entropy; the others get noise

The plain path makes some twenty passes over at least as many bytes (`loop.choice`). A row of 262,144 tokens is split
into parts, one for each program, because there may be few rows; then one program for each row combines its parts.

Two random numbers draw a row's token: the first chooses a part by the parts' sums, the second a token of that part.
This is as exact as adding Gumbel noise to each logit, and much cheaper: 262,144 random numbers for each row would take
several times as long as reading the row. The numbers are from Philox, with the rival's seed, the row's place in the
rival, and the step, so they do not depend on the other canvases of the batch.

Knows tensors only. Runs on the engine thread. Shapes: R rows, V vocabulary, M sets of banned tokens, P parts of a
row, B canvases.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

PART = 4096
"""The number of tokens that one program reads."""

NEVER = tl.constexpr(-1e30)
"""The logit of a banned token. Minus infinity does not work: the difference of two is not a number."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rules and seeds of the rows. All tensors are on the device."""

    banned: Tensor
    """[M, V] bool: sets of banned tokens."""
    banned_by: Tensor
    """[R] int32: the index of the row's set in `banned`."""
    favoured: Tensor
    """[R] int32: a token whose logit is raised by `leads`."""
    leads: Tensor
    """[R] float32"""
    seeds: Tensor
    """[R] int64: the same for all rows of a canvas."""
    places: Tensor
    """[R] int32: the row's number within its canvas."""
    starts: Tensor
    """[B + 1] int32: the first row of each canvas, then R."""


@dataclass(frozen=True, slots=True)
class Measures:
    """`report` [3, R] float32: the best token (a whole number, exact up to 2 ** 24), the entropy in nats, the best
    token's log-probability at temperature 1. `plan` and `part` are inputs of `spread`."""

    report: Tensor
    plan: Tensor
    part: Tensor


def measure(logits: Tensor, rows: Rows, cap: float, temperature: float, step: int) -> Measures:
    """Measures raw `logits` [R, V] capped by tanh at `cap`, under the rules of `rows`.

    `temperature` applies to the entropies and to the draws. Each `step` of a request draws other random numbers.
    """
    count, vocabulary = logits.shape
    assert logits.is_contiguous()
    assert vocabulary < 2**24, "token ids have to be exact as float32"
    parts = triton.cdiv(vocabulary, PART)
    sums = torch.empty(5, count, parts, dtype=torch.float32, device=logits.device)
    rules = rows.banned.view(torch.uint8), rows.banned_by, rows.favoured, rows.leads
    _sum_parts[(parts, count)](logits, *rules, sums, vocabulary, count, cap, 1 / temperature, PART=PART, num_warps=8)
    report = torch.empty(3, count, dtype=torch.float32, device=logits.device)
    plan, part = torch.empty_like(report), torch.empty(count, dtype=torch.int32, device=logits.device)
    padded = triton.next_power_of_2(parts)
    streams = rows.seeds, rows.places
    _sum_rows[(count,)](
        sums, *streams, report, plan, part, parts, count, 1 / temperature, step, PARTS=padded, num_warps=1
    )
    return Measures(report, plan, part)


def spread(logits: Tensor, rows: Rows, measures: Measures, cap: float, temperature: float) -> Tensor:
    """Replaces raw `logits` [R, V] by the probabilities at `temperature`; returns a drawn token for each row [R]."""
    count, vocabulary = logits.shape
    drawn = torch.empty(count, dtype=torch.int64, device=logits.device)
    rules = rows.banned.view(torch.uint8), rows.banned_by, rows.favoured, rows.leads
    plan = measures.plan, measures.part
    _spread_parts[(triton.cdiv(vocabulary, PART), count)](
        logits, *rules, *plan, drawn, vocabulary, count, cap, 1 / temperature, PART=PART, num_warps=8
    )
    return drawn


def settle(drawn: Tensor, rows: Rows, measures: Measures, bound: float, largest: int, step: int) -> Tensor:
    """The ids [R] of the next step: `drawn` in the rows that each canvas keeps, noise in the others.

    A canvas keeps its k rows with the lowest entropies, with the largest k for which the sum of these entropies without
    the highest one is within `bound`. No canvas has more than `largest` rows.
    """
    chosen = torch.empty_like(drawn)
    # Nearly all canvases use the width 256: another width needs a compilation during a request.
    vocabulary, width = rows.banned.shape[1], max(256, triton.next_power_of_2(largest))
    _settle_canvas[(len(rows.starts) - 1,)](
        drawn, measures.report, rows.starts, rows.seeds, rows.places, chosen, vocabulary, len(drawn), bound, step,
        WIDTH=width, num_warps=4,
    )  # fmt: skip
    return chosen


@triton.jit
def _ruled(logits, banned, banned_by, favoured, leads, row, columns, vocabulary, cap):
    """A row's logits at `columns`, after the cap and the row's rules."""
    inside = columns < vocabulary
    raw = tl.load(logits + row.to(tl.int64) * vocabulary + columns, mask=inside, other=0.0).to(tl.float32)
    capped = cap * (1 - 2 / (tl.exp(raw * (2 / cap)) + 1))  # cap * tanh(raw / cap)
    capped += tl.where(columns == tl.load(favoured + row), tl.load(leads + row), 0.0)
    never = tl.load(banned + tl.load(banned_by + row).to(tl.int64) * vocabulary + columns, mask=inside, other=1)
    return tl.where(never != 0, NEVER, capped)


@triton.jit(do_not_specialize=["count"])
def _sum_parts(
    logits, banned, banned_by, favoured, leads, sums, vocabulary, count, cap, sharpness, PART: tl.constexpr
):  # fmt: skip
    """For one part of a row: its best logit, that logit's column, and three sums relative to that logit: of the
    likelihoods at temperature 1, of those at the step's temperature, and of the latter times their logarithms."""
    part, row, parts = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    columns = part * PART + tl.arange(0, PART)
    values = _ruled(logits, banned, banned_by, favoured, leads, row, columns, vocabulary, cap)
    top = tl.max(values, 0)
    best = tl.min(tl.where(values == top, columns, vocabulary), 0)
    below = values - top
    tempered = tl.exp(below * sharpness)
    into, stride = sums + row * parts + part, count * parts
    tl.store(into, top)
    tl.store(into + stride, best.to(tl.float32))
    tl.store(into + 2 * stride, tl.sum(tl.exp(below), 0))
    tl.store(into + 3 * stride, tl.sum(tempered, 0))
    tl.store(into + 4 * stride, tl.sum(tempered * below * sharpness, 0))


@triton.jit(do_not_specialize=["count", "step"])
def _sum_rows(
    sums, seeds, places, report, plan, chosen, parts, count, sharpness, step, PARTS: tl.constexpr
):  # fmt: skip
    """Combines the parts of a row and draws the part of the row's token."""
    row = tl.program_id(0)
    part = tl.arange(0, PARTS)
    inside, read, stride = part < parts, sums + row * parts + part, count * parts
    tops = tl.load(read, mask=inside, other=NEVER)
    bests = tl.load(read + stride, mask=inside, other=0.0)
    top = tl.max(tops, 0)
    below = tops - top
    plain = tl.load(read + 2 * stride, mask=inside, other=0.0) * tl.exp(below)
    scale = tl.exp(below * sharpness)
    shares = tl.load(read + 3 * stride, mask=inside, other=0.0)
    weighted = scale * (tl.load(read + 4 * stride, mask=inside, other=0.0) + shares * below * sharpness)
    shares *= scale
    total = tl.sum(shares, 0)
    tl.store(report + row, tl.min(tl.where(tops == top, bests, float("inf")), 0))
    tl.store(report + count + row, tl.maximum(tl.log(total) - tl.sum(weighted, 0) / total, 0.0))
    tl.store(report + 2 * count + row, -tl.log(tl.sum(plain, 0)))
    first, second, _, _ = _random(tl.load(seeds + row), tl.load(places + row), step)
    tl.store(chosen + row, _drawn(shares, part, _uniform(first), PARTS))
    tl.store(plan + row, top)
    tl.store(plan + count + row, total)
    tl.store(plan + 2 * count + row, _uniform(second))


@triton.jit(do_not_specialize=["count"])
def _spread_parts(
    logits, banned, banned_by, favoured, leads, plan, chosen, drawn, vocabulary, count, cap, sharpness,
    PART: tl.constexpr,
):  # fmt: skip
    part, row = tl.program_id(0), tl.program_id(1)
    columns = part * PART + tl.arange(0, PART)
    values = _ruled(logits, banned, banned_by, favoured, leads, row, columns, vocabulary, cap)
    likely = tl.exp((values - tl.load(plan + row)) * sharpness)
    share = likely / tl.load(plan + count + row)
    into = logits + row.to(tl.int64) * vocabulary + columns
    tl.store(into, share.to(logits.dtype.element_ty), mask=columns < vocabulary)
    if part == tl.load(chosen + row):
        tl.store(drawn + row, _drawn(likely, columns, tl.load(plan + 2 * count + row), vocabulary).to(tl.int64))


@triton.jit(do_not_specialize=["count", "step"])
def _settle_canvas(
    drawn, report, starts, seeds, places, chosen, vocabulary, count, bound, step, WIDTH: tl.constexpr
):  # fmt: skip
    """Settles one canvas. With equal entropies the earlier row comes first."""
    canvas = tl.program_id(0)
    first, end = tl.load(starts + canvas), tl.load(starts + canvas + 1)
    row = first + tl.arange(0, WIDTH)
    inside = row < end
    nats = tl.load(report + count + row, mask=inside, other=float("inf"))
    before = tl.zeros([WIDTH], dtype=tl.float32)
    for other in range(first, end):
        other_nats = tl.load(report + count + other)
        before += tl.where((other_nats < nats) | ((other_nats == nats) & (other < row)), other_nats, 0.0)
    _, _, third, _ = _random(tl.load(seeds + row, mask=inside), tl.load(places + row, mask=inside), step)
    noise = (third.to(tl.uint64) * vocabulary) >> 32
    kept = tl.load(drawn + row, mask=inside)
    tl.store(chosen + row, tl.where(before <= bound, kept, noise.to(tl.int64)), mask=inside)


@triton.jit
def _random(seed, place, step):
    """Four random numbers of 32 bits."""
    zero = place * 0
    return tl.philox(seed, place, zero + step, zero, zero)


@triton.jit
def _uniform(bits):
    """A number in [0, 1) with the precision of float32."""
    return (bits >> 8).to(tl.float32) * (1.0 / 16777216.0)


@triton.jit
def _drawn(shares, numbers, chance, beyond):
    """One of the ascending `numbers`, all less than `beyond`, drawn by their `shares`. Rounding of the sums never draws
    a number with a share of 0."""
    sums = tl.cumsum(shares, 0)
    number = tl.min(tl.where((sums > chance * tl.max(sums, 0)) & (shares > 0), numbers, beyond), 0)
    last = tl.max(tl.where(shares > 0, numbers, -1), 0)
    return tl.where(number < beyond, number, last)
