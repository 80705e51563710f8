"""Tests of the Triton kernels, on a CUDA device or in Triton's interpreter on the CPU.

`pytest.importorskip("triton")` skips a test module if Triton is missing. Kernels run on the fixture `device`
(tests/conftest.py turns the interpreter on). Tests marked `gpu` need a CUDA device.
"""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device that the kernels run on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def skip_without_a_gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
