"""The attention kernel matches plain PyTorch, in Triton's interpreter or on a GPU; and it fits the named GPUs.

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
"""Query heads, key heads and head width of the published model."""


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
        """The reference in double precision, on the same inputs."""
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
    """Rows out of bounds hold large numbers, so a kernel that reads them gives a wrong result."""
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
    inputs = case(heads, prompt, lengths, device=device, dtype=torch.float32)
    torch.testing.assert_close(inputs.fused(splits).double(), inputs.exact(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("heads", [(4, 2, 256), (8, 1, 512)], ids=["sliding", "full"])
def test_attend_kernel_published_heads_in_half_precision_match(
    heads: tuple[int, int, int], device: torch.device
) -> None:
    inputs = case(heads, (3, 80), [17], device=device, dtype=torch.float16, width=20)
    torch.testing.assert_close(inputs.fused(2).double(), inputs.exact(), atol=4e-3, rtol=0)


def test_attend_kernel_ignores_nan_in_unused_rows(device: torch.device) -> None:
    inputs = case((4, 2, 16), (10, 60), [12, 5], device=device, dtype=torch.float32)
    expected = inputs.fused()
    for states in (inputs.layer.keys, inputs.layer.values):
        states[..., :10, :] = states[..., 60:, :] = float("nan")
    for states in (inputs.query, inputs.key, inputs.value):
        states[1, :, 5:] = float("nan")
    assert torch.equal(inputs.fused(), expected)


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
    inputs = case(heads, prompt, lengths, device=device, dtype=torch.bfloat16, rows=rows)
    torch.testing.assert_close(inputs.fused().double(), inputs.exact(), atol=2e-2, rtol=0)
    assert torch.equal(inputs.fused(), inputs.fused())


@pytest.mark.gpu
def test_attend_kernel_captured_once_serves_any_prompt_length(device: torch.device) -> None:
    inputs = case(SLIDING, (0, 1), [64, 9], device=device, dtype=torch.bfloat16, rows=1791)
    inputs.fused()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = inputs.fused()
    for first, end in ((0, 1), (0, 1023), (500, 1523)):
        for states in (inputs.layer.keys, inputs.layer.values):
            states.normal_()
        inputs.layer.bounds.copy_(torch.tensor([first, end]))
        graph.replay()
        torch.testing.assert_close(output.double(), inputs.exact(), atol=2e-2, rtol=0)


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
    """Nothing spills, except 40 bytes a thread for the widest heads without splits."""
    jobs = [
        job(capability, heads, splits) for capability in (80, 89, 90) for heads in (SLIDING, FULL) for splits in (1, 8)
    ]
    for compiled_job, resources in zip(jobs, compiled(jobs), strict=True):
        assert resources.shared <= SHARED_MEMORY[compiled_job.capability]
        spills = (compiled_job.capability, compiled_job.constants["D"], compiled_job.constants["SPLITS"]) == (
            90,
            512,
            1,
        )
        assert resources.spilled <= (64 if spills else 0), compiled_job
