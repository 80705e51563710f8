"""The dense kernel matches the path that unpacks the weight."""

from __future__ import annotations

import pytest
import torch

from dgls_engine.model.packing import Packing, pack
from dgls_engine.model.products import product, unpacking
from tests.kernels.compiling import SHARED_MEMORY, Job, compiled

pytest.importorskip("triton", reason="the kernels' tests need Triton: make kernels")

from dgls_engine.model.kernels.dense import Cut, cut_of, packed_linear

PACKINGS: list[tuple[Packing, bool]] = [("int4", False), ("int4", True), ("fp8", False)]
NAMES = ["int4", "int4 with zero points", "fp8"]


@pytest.mark.parametrize(("packing", "zeros"), PACKINGS, ids=NAMES)
@pytest.mark.parametrize("count", [1, 40])
def test_dense_kernel_matches_unpacking(device: torch.device, packing: Packing, zeros: bool, count: int) -> None:
    """Widths that are not multiples of groups or strips; rows of one tile and of several."""
    made = torch.Generator(device).manual_seed(7)
    weight = pack(torch.randn(1, 88, 160, device=device, generator=made), packing, zeros)
    rows = torch.randn(count, 160, device=device, generator=made)
    expected = unpacking(rows, weight, None)
    for cut in (Cut(16, 16), Cut(32, 32)):
        got = packed_linear(rows, weight, cut, by_hand=False)
        assert (got - expected).norm() < 1e-6 * expected.norm()


def test_dense_kernel_compiles_without_spilling() -> None:
    names = {"rows": "*bf16", "values": "*u8", "scales": "*bf16", "results": "*bf16"}
    numbers = {"count": "i32", "outputs": "i32", "width": "i32"}
    jobs = []
    for rows, outputs, (packing, zeros) in ((3, 4608, PACKINGS[1]), (32, 37888, PACKINGS[0]), (200, 3584, PACKINGS[2])):
        cut = cut_of(rows, outputs)
        kind = {"INT4": packing == "int4", "ZEROS": zeros, "BY_HAND": True, "ROWS": cut.rows, "OUT": cut.columns}
        signature = {**names, "zeros": "*u8" if zeros else "*bf16", **numbers}
        module, aligned = "dgls_engine.model.kernels.dense", ("outputs", "width")
        jobs += [
            Job(module, "_multiply", signature, kind, capability, aligned, cut.warps, cut.stages)
            for capability in (80, 89)
        ]
    for job, resources in zip(jobs, compiled(jobs), strict=True):
        assert resources.spilled == 0, job
        assert resources.shared < SHARED_MEMORY[job.capability], job


@pytest.mark.gpu
@pytest.mark.parametrize(("packing", "zeros"), PACKINGS, ids=NAMES)
@pytest.mark.parametrize("count", [3, 64, 1000])
def test_product_on_gpu_matches_unpacking(device: torch.device, packing: Packing, zeros: bool, count: int) -> None:
    made = torch.Generator(device).manual_seed(7)
    weight = pack(torch.randn(1, 3584, 3584, device=device, generator=made).bfloat16(), packing, zeros)
    rows = torch.randn(count, 3584, device=device, generator=made).bfloat16()
    expected = unpacking(rows.float(), weight, None)
    assert (product(weight, None)(rows) - expected).norm() < 0.01 * expected.norm()
