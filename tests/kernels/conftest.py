"""Kernels are tested where Triton is: on a CUDA device, or else by Triton's interpreter on the CPU.

`pytest.importorskip("triton")` at the top of a test module skips it with a reason; what it imports of
`engine.kernels` then runs on `device`. Tests marked `gpu` want a real one.
"""

from __future__ import annotations

import os

import pytest
import torch

# Triton reads it when a kernel is decorated, so it stands here before any kernel is imported. Kernels are compiled
# without a GPU in a child process that does not inherit it (`tests.kernels.compiling`).
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
# Some versions warn unless they are told; what they then do is the same.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where kernels run here."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def skip_without_a_gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
