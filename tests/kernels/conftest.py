"""Kernels are tested where Triton is: on a CUDA device, or else by Triton's interpreter on the CPU.

`pytest.importorskip("triton")` at the top of a test module skips it with a reason; what it imports of
`dgls_engine.model.kernels` then runs on `device` (tests/conftest.py says how). Tests marked `gpu` want a real one.
"""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where kernels run here."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def skip_without_a_gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
