"""The attention kernel against plain PyTorch: by Triton's interpreter, or on a GPU; and what it takes of a GPU.

The interpreter multiplies bfloat16 wrongly, so it gets the other types.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from dgls_engine.model.diffusion_gemma import attention
from dgls_engine.model.diffusion_gemma.prompt_cache import KeptLayer, Rows
from tests.kernels.compiling import SHARED_MEMORY, Job, compiled

pytest.importorskip("triton", reason="the kernels' tests need Triton: make kernels")

from dgls_engine.model.kernels.attention import Blocks, attend, pick_blocks, pick_splits

SLIDING, FULL = (16, 8, 256), (16, 2, 512)
"""Query heads, key heads and their width in the published model."""


@dataclass
class Case:
    query: Tensor
    key: Tensor
    value: Tensor
    layer: KeptLayer
    lengths: Tensor

    def fused(self, splits: int | None = None) -> Tensor:
        layer = self.layer
        return attend(
            self.query, self.key, self.value, layer.keys, layer.values, layer.bounds, self.lengths, 1.0, splits
        )

    def exact(self) -> Tensor:
        """The reference in double precision, from the same numbers."""
        layer = self.layer
        wide = KeptLayer(layer.rows, layer.keys.shape[1], layer.keys.shape[3], self.query.new_empty(0).double())
        wide.keys, wide.values = layer.keys.double(), layer.values.double()
        query, key, value = (states.double() for states in (self.query, self.key, self.value))
        return attention.reference(query, key, value, wide, self.lengths, 1.0)


def case(
    heads: tuple[int, int, int],
    prompt: tuple[int, int],
    lengths: list[int],
    *,
    device: torch.device,
    dtype: torch.dtype,
    width: int | None = None,
    rows: int = 100,
) -> Case:
    """Rows out of bounds hold large numbers, which would tell."""
    made = torch.Generator(device).manual_seed(0)
    queries, keys, dim = heads
    width = width or max(lengths)

    def states(count: int, size: float = 1.0) -> Tensor:
        shape = (len(lengths), width, count, dim)
        return (torch.randn(shape, device=device, generator=made) * size).to(dtype).transpose(1, 2)

    held = Rows(rows, rows, device)
    held.bounds.copy_(torch.tensor(prompt))
    layer = KeptLayer(held, keys, dim, torch.empty(0, device=device, dtype=dtype))
    for kept in (layer.keys, layer.values):
        kept.fill_(50.0)
        inside = kept[..., prompt[0] : prompt[1], :]
        inside.copy_(torch.randn(inside.shape, device=device, generator=made))
    shortest = torch.tensor(lengths, dtype=torch.int32, device=device)
    return Case(states(queries, 4.0 * dim**-0.5), states(keys), states(keys), layer, shortest)


@pytest.mark.parametrize("splits", [1, 2, 5])
@pytest.mark.parametrize(
    ("heads", "prompt", "lengths"),
    [
        ((4, 2, 8), (0, 1), [20, 1, 7]),
        ((4, 1, 16), (13, 90), [33, 0]),
        ((2, 2, 48), (100, 100), [9]),
        ((4, 2, 64), (0, 100), [70, 64]),
    ],
    ids=["one prompt row", "an empty canvas", "no prompt, a width between powers of two", "several tiles"],
)
def test_attend_kernel_matches_reference(
    heads: tuple[int, int, int], prompt: tuple[int, int], lengths: list[int], splits: int, device: torch.device
) -> None:
    own = case(heads, prompt, lengths, device=device, dtype=torch.float32)
    torch.testing.assert_close(own.fused(splits).double(), own.exact(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("heads", [(4, 2, 256), (8, 1, 512)], ids=["sliding", "full"])
def test_attend_kernel_published_heads_in_half_precision_match(
    heads: tuple[int, int, int], device: torch.device
) -> None:
    own = case(heads, (3, 80), [17], device=device, dtype=torch.float16, width=20)
    torch.testing.assert_close(own.fused(2).double(), own.exact(), atol=4e-3, rtol=0)


def test_attend_kernel_ignores_nan_in_unused_rows(device: torch.device) -> None:
    own = case((4, 2, 16), (10, 60), [12, 5], device=device, dtype=torch.float32)
    wanted = own.fused()
    for states in (own.layer.keys, own.layer.values):
        states[..., :10, :] = states[..., 60:, :] = float("nan")
    for states in (own.query, own.key, own.value):
        states[1, :, 5:] = float("nan")
    assert torch.equal(own.fused(), wanted)


@pytest.mark.parametrize(
    ("programs", "key_blocks", "splits"), [(16, 500, 8), (100, 40, 1), (144, 40, 2), (1000, 500, 1)]
)
def test_pick_splits_few_programs_splits_key_blocks(programs: int, key_blocks: int, splits: int) -> None:
    assert pick_splits(programs, key_blocks, 2**16, 2**17, processors=132, programs_each=1) == splits


@pytest.mark.gpu
@pytest.mark.parametrize("lengths", [[64], [256], [64, 40, 64, 1], [96] * 12])
@pytest.mark.parametrize(
    ("heads", "prompt", "rows"),
    [
        (SLIDING, (256, 1279), 1791),
        (SLIDING, (0, 7), 1791),
        (FULL, (0, 4096), 8192),
        (FULL, (0, 16000), 16384),
        (FULL, (0, 1), 8192),
    ],
)
def test_attend_kernel_published_shapes_on_gpu_match(
    heads: tuple[int, int, int], prompt: tuple[int, int], rows: int, lengths: list[int], device: torch.device
) -> None:
    own = case(heads, prompt, lengths, device=device, dtype=torch.bfloat16, rows=rows)
    torch.testing.assert_close(own.fused().double(), own.exact(), atol=2e-2, rtol=0)
    assert torch.equal(own.fused(), own.fused())


@pytest.mark.gpu
def test_attend_kernel_captured_once_serves_any_prompt_length(device: torch.device) -> None:
    own = case(SLIDING, (0, 1), [64, 9], device=device, dtype=torch.bfloat16, rows=1791)
    own.fused()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = own.fused()
    for first, end in ((0, 1), (0, 1023), (500, 1523)):
        for states in (own.layer.keys, own.layer.values):
            states.normal_()
        own.layer.bounds.copy_(torch.tensor([first, end]))
        graph.replay()
        torch.testing.assert_close(output.double(), own.exact(), atol=2e-2, rtol=0)


POINTERS = ("query", "key", "value", "kept_keys", "kept_values")
STRIDES = ("query_canvas", "query_head", "query_row", "own_canvas", "own_head", "own_row", "kept_head", "kept_row")


def job(capability: int, heads: tuple[int, int, int], splits: int) -> Job:
    queries, keys, dim = heads
    blocks: Blocks = pick_blocks(dim, 2, SHARED_MEMORY[capability])
    result = "*fp32" if splits > 1 else "*bf16"
    signature = dict.fromkeys(POINTERS, "*bf16") | dict.fromkeys(STRIDES, "i32")
    signature |= {"bounds": "*i32", "lengths": "*i32", "output": result, "weight": result}
    signature |= {"scale": "fp32", "width": "i32", "all_rows": "i32"}
    constants = {"HEADS": keys, "GROUP": queries // keys, "D": dim, "BLOCK_D": dim, "PRECISION": "tf32"}
    constants |= {"BLOCK_M": blocks.rows, "BLOCK_N": blocks.keys, "SPLITS": splits}
    return Job(
        "dgls_engine.model.kernels.attention",
        "attend_kernel",
        signature,
        constants,
        capability,
        aligned=STRIDES,
        warps=blocks.warps,
        stages=blocks.stages,
    )


def test_attend_kernel_compiles_for_other_gpus() -> None:
    """Nothing spills but where one program takes a tile of the widest heads to its end: 40 bytes of a thread."""
    jobs = [
        job(capability, heads, splits) for capability in (80, 89, 90) for heads in (SLIDING, FULL) for splits in (1, 8)
    ]
    for asked, taken in zip(jobs, compiled(jobs), strict=True):
        assert taken.shared <= SHARED_MEMORY[asked.capability]
        once = (asked.capability, asked.constants["D"], asked.constants["SPLITS"]) == (90, 512, 1)
        assert taken.spilled <= (64 if once else 0), asked
