"""Triton kernels. They know tensors, no models. Their callers import them on use; `import dgls_engine` does not.

Triton is installed by the extra `kernels` (Linux only) or with a CUDA build of torch. The caller of each kernel also
has a plain PyTorch path: it runs where `usable` is False, and the kernel's tests compare the kernel with it.
"""

from __future__ import annotations

import importlib.util

import torch


def usable(device: torch.device) -> bool:
    """Whether the kernels run on `device`: CUDA with Triton, compute capability 8.0 (bfloat16) or higher."""
    return device.type == "cuda" and installed() and torch.cuda.get_device_capability(device) >= (8, 0)


def installed() -> bool:
    return importlib.util.find_spec("triton") is not None
