"""Attention of canvases over the prompt and over themselves, in place, in one or two launches.

The query heads that share a key head are rows of one tile, so the kernel reads keys and values once for them. A program
processes a tile of one canvas' rows: it iterates over blocks of key rows, first the prompt's and then the canvas', with
a running softmax. It reads the number of key rows on the device, so one captured graph serves prompts of any length.
One canvas has too few tiles to keep a GPU busy. Then several programs share the key blocks of a tile, and a second
launch adds up their results. The order of all sums depends on shapes alone, so results are reproducible.

Knows tensors only. Shapes: B canvases, C rows of a canvas, d head width, G query heads of a key head.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOG2_E = 1.4426950408889634


@triton.jit
def attend_kernel(
    query, key, value, kept_keys, kept_values, bounds, lengths, output, weight,
    query_canvas, query_head, query_row, own_canvas, own_head, own_row, kept_head, kept_row, scale, width, all_rows,
    HEADS: tl.constexpr, GROUP: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, SPLITS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attention of one tile of a canvas' rows over one key head and one share of the key blocks. `scale` includes
    log2(e), because the softmax uses powers of two.

    Writes `output` [SPLITS, B, C, Hq, d] and, with several splits, `weight` [SPLITS, B, C, Hq]: the base-2 logarithm of
    the sum of a share's softmax. The rows of a tile are pairs (position, head of the group).
    """
    tile, split = tl.program_id(0), tl.program_id(2)
    canvas, head = (tl.program_id(1) // HEADS).to(tl.int64), tl.program_id(1) % HEADS
    rows = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    position, query_number = rows // GROUP, head * GROUP + rows % GROUP
    columns = tl.arange(0, BLOCK_D)
    column_valid = columns < D
    length = tl.minimum(tl.load(lengths + canvas), width)
    row_valid = position < length
    queries = tl.load(
        query + canvas * query_canvas
        + query_number[:, None] * query_head + position[:, None] * query_row + columns[None, :],
        mask=row_valid[:, None] & column_valid[None, :], other=0.0,
    )  # fmt: skip

    first, end = tl.load(bounds), tl.load(bounds + 1)
    kept_blocks, own_blocks = tl.cdiv(end - first, BLOCK_N), tl.cdiv(length, BLOCK_N)
    share = tl.cdiv(kept_blocks + own_blocks, SPLITS)
    low = split * share
    high = tl.minimum(low + share, kept_blocks + own_blocks)
    high = tl.where(tile * BLOCK_M < length * GROUP, high, low)  # a tile of padding needs no key blocks

    mixed = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    highest = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    # One loop that selects addresses: two consecutive loops took 100 bytes of registers more.
    for block in range(low, high):
        in_canvas = block >= kept_blocks
        start = tl.where(in_canvas, (block - kept_blocks) * BLOCK_N, first + block * BLOCK_N)
        stop = tl.where(in_canvas, length, end)
        stride = tl.where(in_canvas, own_row, kept_row)
        offset = tl.where(in_canvas, canvas * own_canvas + head * own_head, (head * kept_head).to(tl.int64))
        key_rows = start + tl.arange(0, BLOCK_N)
        valid = (key_rows < stop)[:, None] if D == BLOCK_D else (key_rows < stop)[:, None] & column_valid[None, :]
        places = key_rows[:, None] * stride + columns[None, :]
        keys = tl.load(tl.where(in_canvas, key, kept_keys) + offset + places, mask=valid, other=0.0)
        scores = tl.dot(queries, tl.trans(keys), input_precision=PRECISION) * scale
        scores = tl.where((key_rows < stop)[None, :], scores, float("-inf"))
        peak = tl.maximum(highest, tl.max(scores, 1))
        weights = tl.exp2(scores - peak[:, None])
        fade = tl.exp2(highest - peak)
        values = tl.load(tl.where(in_canvas, value, kept_values) + offset + places, mask=valid, other=0.0)
        mixed = tl.dot(weights.to(values.dtype), values, mixed * fade[:, None], input_precision=PRECISION)
        total = total * fade + tl.sum(weights, 1)
        highest = peak

    nonempty = row_valid & (total > 0)
    mixed = mixed * tl.where(nonempty, 1.0 / tl.where(nonempty, total, 1.0), 0.0)[:, None]
    written = split.to(tl.int64) * all_rows + canvas * width * (HEADS * GROUP)
    row = position * (HEADS * GROUP) + query_number
    inside = position < width
    tl.store(
        output + written * D + row[:, None] * D + columns[None, :],
        mixed.to(output.dtype.element_ty),
        mask=inside[:, None] & column_valid[None, :],
    )
    if SPLITS > 1:
        logarithm = tl.where(nonempty, highest + tl.log2(tl.where(nonempty, total, 1.0)), float("-inf"))
        tl.store(weight + written + row, logarithm, mask=inside)


@triton.jit
def add_up_kernel(
    parts, weight, output, all_rows,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """Writes `output` [rows, d], the mean of the splits' `parts` [SPLITS, rows, d] by their `weight` [SPLITS, rows]."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_D)
    inside = rows < all_rows
    valid = inside[:, None] & (columns < D)[None, :]
    highest = tl.full([BLOCK_M], float("-inf"), tl.float32)
    for split in tl.static_range(SPLITS):
        highest = tl.maximum(highest, tl.load(weight + split * all_rows + rows, mask=inside, other=float("-inf")))
    highest = tl.where(highest == float("-inf"), 0.0, highest)
    mixed = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    for split in tl.static_range(SPLITS):
        share = tl.exp2(tl.load(weight + split * all_rows + rows, mask=inside, other=float("-inf")) - highest)
        part = tl.load(parts + (split * all_rows + rows)[:, None] * D + columns[None, :], mask=valid, other=0.0)
        mixed += part * share[:, None]
        total += share
    mixed = mixed / tl.where(total > 0, total, 1.0)[:, None]
    tl.store(output + rows[:, None] * D + columns[None, :], mixed.to(output.dtype.element_ty), mask=valid)


class Blocks(NamedTuple):
    """A program's tile of `rows`, the `keys` of a block, and the numbers of warps and pipeline stages."""

    rows: int
    keys: int
    warps: int
    stages: int


def pick_blocks(width: int, itemsize: int, shared_memory: int) -> Blocks:
    """Blocks for a head width (a power of two), an item size, and the bytes of shared memory for a program.

    With more rows, keys are read less often; at 512 bfloat16 values a row, the registers hold the sums of 64 rows. The
    last line is for float32 with the widest heads, which is correct, but not fast.
    """
    size, large = width * itemsize, shared_memory >= 200 * 1024
    if size <= 256:
        return Blocks(64, 64, 4, 2)
    if size <= 512:
        return Blocks(64, 32, 4 if large else 8, 2)
    if size <= 1024:
        return Blocks(64, 16, 8, 3 if large else 2)
    return Blocks(16, 16, 4, 1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    kept_keys: Tensor,
    kept_values: Tensor,
    bounds: Tensor,
    lengths: Tensor,
    scale: float,
    splits: int | None = None,
) -> Tensor:
    """Attention [B, C, Hq, d] of `query` [B, Hq, C, d] over rows `bounds` [2] of `kept_keys` and `kept_values`
    [1, Hkv, rows, d] and over the first `lengths` [B] rows of `key` and `value` [B, Hkv, C, d]. Later output rows are
    zero."""
    batch, query_heads, width, dim = query.shape
    heads, capacity = key.shape[1], kept_keys.shape[-2]
    group, padded = query_heads // heads, max(16, triton.next_power_of_2(dim))
    assert query.stride(-1) == key.stride(-1) == kept_keys.stride(-1) == 1
    assert key.stride() == value.stride()
    assert kept_keys.stride() == kept_values.stride()
    blocks = pick_blocks(padded, query.element_size(), _shared_memory(query.device))
    tiles = triton.cdiv(width * group, blocks.rows)
    if splits is None:
        block = 2 * blocks.keys * dim * key.element_size()
        key_blocks = triton.cdiv(capacity + width, blocks.keys)
        tile = 4 * blocks.rows * dim
        splits = pick_splits(
            tiles * heads * batch, key_blocks, block, tile, _processors(query.device), 8 // blocks.warps
        )
    shape, rows = (batch, width, query_heads, dim), batch * width * query_heads
    output = query.new_empty(shape)
    parts = output if splits == 1 else query.new_empty(splits, *shape, dtype=torch.float32)
    weight = parts.new_empty(splits, rows, dtype=torch.float32) if splits > 1 else parts
    precision = "ieee" if query.dtype == torch.float32 else "tf32"
    launch: Any = attend_kernel[(tiles, heads * batch, splits)]
    launch(
        query, key, value, kept_keys, kept_values, bounds, lengths, parts, weight,
        *query.stride()[:3], *key.stride()[:3], *kept_keys.stride()[1:3],
        scale * _LOG2_E, width, rows,
        HEADS=heads, GROUP=group, D=dim, BLOCK_D=padded, BLOCK_M=blocks.rows, BLOCK_N=blocks.keys,
        SPLITS=splits, PRECISION=precision, num_warps=blocks.warps, num_stages=blocks.stages,
    )  # fmt: skip
    if splits > 1:
        add_up: Any = add_up_kernel[(triton.cdiv(rows, 4),)]
        add_up(parts, weight, output, rows, D=dim, BLOCK_D=padded, BLOCK_M=4, SPLITS=splits, num_warps=4)
    return output


def pick_splits(
    programs: int, key_blocks: int, block_bytes: int, tile_bytes: int, processors: int, programs_each: int
) -> int:
    """The number of programs that share the key blocks of a tile, so that the busiest processor moves the fewest bytes.

    A processor runs `programs_each` programs at once. Split tiles are written and read once more, in float32. The start
    of a program costs about as much as one block, the second launch as much as two.
    """

    def bytes_moved(splits: int) -> float:
        waves = -(-programs * splits // (processors * programs_each))
        blocks = waves * programs_each * (-(-key_blocks // splits) + 1)
        second_launch = 2 * block_bytes + 2 * splits * programs * tile_bytes / processors if splits > 1 else 0
        return blocks * block_bytes + second_launch

    return min((1, 2, 4, 8, 16), key=bytes_moved)


def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 16


def _shared_memory(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    number = torch.cuda.current_device() if device.index is None else device.index
    return int(triton.runtime.driver.active.utils.get_device_properties(number)["max_shared_mem"])
