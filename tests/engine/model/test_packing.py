"""The bytes and the error of packed weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dgls_engine.model.packing import GROUP, Packing, pack, packed_bytes, prefers_zeros, relative_error, unpack

PACKINGS: list[tuple[Packing, bool]] = [
    ("int4", False),
    ("int4", True),
    ("fp8", False),
    ("int8", False),
    ("float16", False),
]
NAMES = ["int4", "int4 with zero points", "fp8", "int8", "float16"]


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16() * 0.02


@pytest.mark.parametrize(
    ("packing", "zeros", "error"),
    [
        ("int4", False, 0.092),
        ("int4", True, 0.087),
        ("fp8", False, 0.027),
        ("int8", False, 0.0085),
        ("float16", False, 3e-4),
    ],
    ids=NAMES,
)
def test_pack_gaussian_weights_error_is_small(packing: Packing, zeros: bool, error: float) -> None:
    weight = gaussian(2, 64, 704)
    assert relative_error(weight, pack(weight, packing, zeros)) < error


def test_pack_int4_outliers_scale_minimises_error() -> None:
    """One outlier in each group: steps that reach it are too coarse for the other weights."""
    weight = gaussian(1, 32, GROUP * 4)
    weight[..., ::GROUP] *= 4
    groups = weight.float().unflatten(-1, (-1, GROUP))
    by_range = groups.abs().amax(-1, keepdim=True) / 7
    rounded = (groups / by_range).round().clamp(-8, 7) * by_range
    of_range = float((rounded - groups).norm() / groups.norm())
    assert relative_error(weight, pack(weight, "int4", False)) < 0.9 * of_range


@pytest.mark.parametrize(("packing", "zeros"), PACKINGS, ids=NAMES)
@pytest.mark.parametrize("columns", [16, 64, 96, 160])
def test_packed_bytes_match_packed(packing: Packing, zeros: bool, columns: int) -> None:
    weight = gaussian(3, 8, columns)
    packed = pack(weight, packing, zeros)
    assert packed.bytes == packed_bytes((3, 8, columns), packing, zeros)
    assert packed.packing == packing
    assert unpack(packed, torch.bfloat16).shape == weight.shape


@pytest.mark.parametrize("zeros", [False, True])
def test_packed_bytes_published_experts_fit_12_5_gb(zeros: bool) -> None:
    layer = packed_bytes((128, 1408, 2816), "int4", zeros) + packed_bytes((128, 2816, 704), "int4", zeros)
    assert 30 * layer <= 12.5e9


@pytest.mark.parametrize(("packing", "zeros"), PACKINGS, ids=NAMES)
def test_pack_slice_equals_slice_of_packed(packing: Packing, zeros: bool) -> None:
    weight = gaussian(4, 8, 128)
    whole, part = pack(weight, packing, zeros), pack(weight[1:3], packing, zeros)
    for one, other in ((whole.values, part.values), (whole.scales, part.scales), (whole.zeros, part.zeros)):
        assert (one is None) == (other is None)
        assert one is None or other is None or torch.equal(one[1:3].view(torch.uint8), other.view(torch.uint8))


@pytest.mark.parametrize("zeros", [False, True])
def test_pack_int4_exact_steps_unpack_exactly(zeros: bool) -> None:
    """Weights on sixteen steps whose distance is a power of two need no rounding."""
    steps = torch.arange(16).repeat(4)[torch.randperm(64, generator=torch.Generator().manual_seed(1))] - 8.0
    weight = (steps * 0.25).expand(2, 3, 64)
    assert torch.equal(unpack(pack(weight, "int4", zeros), torch.float32), weight)


@pytest.mark.parametrize(("packing", "zeros"), PACKINGS, ids=NAMES)
def test_pack_zero_weights_stay_zero(packing: Packing, zeros: bool) -> None:
    assert not unpack(pack(torch.zeros(1, 4, 64), packing, zeros), torch.float32).any()


def test_prefers_zeros_one_sided_weights_true() -> None:
    leaning = gaussian(1, 64, 256).abs()
    assert prefers_zeros(leaning)
    steps = torch.randint(-8, 8, (1, 64, 256), generator=torch.Generator().manual_seed(0)) * 0.25
    assert not prefers_zeros(steps)


def test_pack_fp8_large_weights_stay_finite() -> None:
    weight = gaussian(1, 8, 64) * 1e6
    assert torch.isfinite(unpack(pack(weight, "fp8", False), torch.float32)).all()
