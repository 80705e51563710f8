"""Products with packed weights against float32 products with the weights that they represent."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dgls_engine.model import products
from dgls_engine.model.packing import Packed, Packing, joined, pack, pack_rows, rows_of, unpack
from dgls_engine.model.products import product, unpacking

PACKINGS: list[Packing] = ["float16", "int8", "fp8", "int4"]
NEAREST = {"float16": 1e-3, "int8": 6e-4, "fp8": 1e-6, "int4": 1e-6}
"""The largest error of a product: FBGEMM's float16 products are the least exact, int8 rounds the rows to 14 bits."""


def matrix(outputs: int, inputs: int, seed: int = 0) -> Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed)) * 0.05


def uneven_rows(*shape: int) -> Tensor:
    """Rows of different sizes with outliers, as a network has them; the first row is zero."""
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * torch.logspace(-2, 2, shape[-2])[:, None]
    rows[..., 3] *= 30
    rows[..., 0, :] = 0
    return rows


def far(one: Tensor, other: Tensor) -> float:
    return float(((one - other).norm(dim=-1) / other.norm(dim=-1).clamp_min(1e-9)).max())


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("biased", [False, True])
def test_product_packed_weight_multiplies_as_unpacked(packing: Packing, biased: bool) -> None:
    """On each row by itself: no row loses because another is large."""
    packed, bias = pack_rows(matrix(48, 96), packing), torch.arange(48.0) if biased else None
    rows = uneven_rows(2, 7, 96)
    expected = functional.linear(rows, unpack(packed, torch.float32)[0], bias)
    assert far(product(packed, bias)(rows), expected) < NEAREST[packing]


@pytest.mark.parametrize("packing", ["float16", "int8"])
def test_product_without_fbgemm_unpacks(packing: Packing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_fbgemm", lambda: False)
    packed, rows = pack_rows(matrix(48, 96), packing), uneven_rows(5, 96)
    assert torch.equal(product(packed, None)(rows), unpacking(rows, packed, None))


def test_unpacking_in_blocks_equals_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, rows = pack_rows(matrix(50, 70), "int4"), uneven_rows(5, 70)
    expected = functional.linear(rows, unpack(packed, torch.float32)[0])
    monkeypatch.setattr(products, "BLOCK", 7 * 70)
    assert far(unpacking(rows, packed, None), expected) < 1e-6


@pytest.mark.skipif(not products.has_fbgemm(), reason="needs FBGEMM")
def test_product_int8_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        product(pack_rows(matrix(8, 16), "int8"), None)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("zeros", [(False, False), (True, True), (True, False)])
def test_joined_rows_unpack_one_below_the_other(packing: Packing, zeros: tuple[bool, bool]) -> None:
    weights = [matrix(8, 96, seed) for seed in range(2)]
    parts = [pack(weight[None], packing, points) for weight, points in zip(weights, zeros, strict=True)]
    whole = joined(parts, "rows")
    expected = torch.cat([unpack(part, torch.float32) for part in parts], 1)
    assert torch.equal(unpack(whole, torch.float32), expected)
    assert torch.equal(unpack(rows_of(whole, 3, 11), torch.float32), expected[:, 3:11])


def test_pack_float16_huge_weights_stay_finite() -> None:
    packed: Packed = pack_rows(matrix(4, 64) * 1e8, "float16")
    assert torch.isfinite(unpack(packed, torch.float32)).all()
