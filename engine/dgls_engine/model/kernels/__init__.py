"""Triton kernels: they know tensors, nothing of models. Imported where they run, never by `import dgls_engine`.

Triton comes with the extra `kernels` (Linux only) or with a CUDA build of torch; each kernel has a plain PyTorch
path beside its caller, which serves where `usable` says no and which the kernel's tests compare it with.
"""

from __future__ import annotations

import importlib.util

import torch


def usable(device: torch.device) -> bool:
    """Whether kernels can run on `device`: CUDA with Triton, from compute capability 8.0 on (bfloat16)."""
    return device.type == "cuda" and installed() and torch.cuda.get_device_capability(device) >= (8, 0)


def installed() -> bool:
    return importlib.util.find_spec("triton") is not None
