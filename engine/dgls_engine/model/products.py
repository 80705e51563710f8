"""Multiplies rows by a weight, plain or packed, in the fastest way that the device has.

    multiply = product(weight, bias)      # weight: Tensor [N, K], or Packed [1, N, K]
    outputs = multiply(rows)              # [..., K] -> [..., N], in the rows' type

Plain weights: oneDNN's order for bfloat16 on a CPU that multiplies it in hardware (`arranged`), else torch's own. On an
x86 CPU, float16 and int8 run in FBGEMM, on rows in float32. On CUDA, int4 and fp8 run in a Triton kernel. Everywhere
else, and as their reference, packed weights are unpacked a few rows at a time. Knows tensors, no models. Runs on the
engine thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dgls_engine.model import kernels
from dgls_engine.model.packing import Packed, rows_of, unpack

Product = Callable[[Tensor], Tensor]

BLOCK = 2**22
"""The number of weights that are unpacked together."""

_FEW_ROWS = 4
"""oneDNN arranges a weight for products with about as many rows."""

_KERNEL_ROWS = 256
"""With more rows, to unpack the weight once costs less than to unpack it for each tile of rows."""

_SMALLEST = 1e-20


def product(weight: Tensor | Packed, bias: Tensor | None) -> Product:
    if isinstance(weight, Tensor):
        return lambda rows: functional.linear(rows, weight, bias)
    if weight.packing in ("float16", "int8") and weight.values.device.type == "cpu" and has_fbgemm():
        return _halves(weight, bias) if weight.packing == "float16" else _whole_numbers(weight, bias)
    if weight.packing in ("int4", "fp8") and kernels.usable(weight.values.device):
        return _on_gpu(weight, bias)
    return lambda rows: unpacking(rows, weight, bias)


def arranged(weight: Tensor, bias: Tensor | None) -> Product:
    """A product with the weight in oneDNN's own order, as in models that `torch.compile` has frozen. Otherwise each
    product arranges the weight anew, which takes longer than to multiply a few rows by it."""
    oneDNN = torch.ops.mkldnn
    if weight.dtype != torch.bfloat16 or weight.device.type != "cpu" or not hasattr(oneDNN, "_reorder_linear_weight"):
        return product(weight, bias)
    if not oneDNN._is_mkldnn_bf16_supported():  # it packs bfloat16 only for CPUs with AVX-512 or AVX-NE-CONVERT
        return product(weight, bias)
    ordered = oneDNN._reorder_linear_weight(weight, _FEW_ROWS)

    def multiply(rows: Tensor) -> Tensor:
        result: Tensor = oneDNN._linear_pointwise(rows, ordered, bias, "none", [], "")
        return result

    return multiply


def unpacking(rows: Tensor, weight: Packed, bias: Tensor | None) -> Tensor:
    """The reference."""
    count = weight.values.shape[1]
    length = max(1, BLOCK // weight.columns)
    blocks = (rows_of(weight, first, min(first + length, count)) for first in range(0, count, length))
    outputs = torch.cat([functional.linear(rows, unpack(block, rows.dtype)[0]) for block in blocks], -1)
    return outputs if bias is None else outputs + bias


def has_fbgemm() -> bool:
    """Whether torch has FBGEMM's products for this CPU. Later versions may drop them (pytorch#184982)."""
    operations: Any = torch.ops.quantized
    named = ("linear_prepack", "linear_prepack_fp16", "linear_dynamic", "linear_dynamic_fp16")
    return torch.backends.quantized.engine in ("x86", "fbgemm") and all(hasattr(operations, name) for name in named)


def _halves(weight: Packed, bias: Tensor | None) -> Product:
    """Weights in float16, everything else in float32."""
    fbgemm: Any = torch.ops.quantized
    ordered = fbgemm.linear_prepack_fp16(weight.values[0].float(), None if bias is None else bias.float())

    def multiply(rows: Tensor) -> Tensor:
        result: Tensor = fbgemm.linear_dynamic_fp16(rows, ordered)
        return result

    return multiply


def _whole_numbers(weight: Packed, bias: Tensor | None) -> Product:
    """Weights in int8, and rows in two parts of seven bits each: what the first leaves is the second. One part alone
    costs a small model 0.16 nats a token (docs/experiments/packing.md). FBGEMM chooses one grid for all rows, so each
    row is scaled to 1, and a last row has the range of the grid."""
    fbgemm: Any = torch.ops.quantized
    outputs, inputs = weight.values.shape[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that torch will drop its quantised tensors: see `has_fbgemm`
        zeros = torch.zeros(outputs, dtype=torch.long)
        scaled = torch._make_per_channel_quantized_tensor(weight.values[0], weight.scales[0, 0].double(), zeros, 0)
    ordered = fbgemm.linear_prepack(scaled, None)
    range_ = torch.zeros(1, inputs)
    range_[0, 0], range_[0, -1] = 1, -1
    step, _ = torch._choose_qparams_per_tensor(range_, True)

    def multiply(rows: Tensor) -> Tensor:
        flat = rows.reshape(-1, inputs)
        largest = flat.abs().amax(-1, keepdim=True).clamp_min(_SMALLEST)
        first = flat / largest
        second = first - (first / step).round() * step
        left = second.abs().amax(-1, keepdim=True).clamp_min(_SMALLEST)
        products = fbgemm.linear_dynamic(torch.cat([first, second / left, range_]), ordered, True)
        one, other = products[:-1].chunk(2)
        result: Tensor = ((one + other * left) * largest).view(*rows.shape[:-1], outputs)
        return result if bias is None else result + bias

    return multiply


def _on_gpu(weight: Packed, bias: Tensor | None) -> Product:
    from dgls_engine.model.kernels.dense import packed_linear

    def multiply(rows: Tensor) -> Tensor:
        flat = rows.reshape(-1, rows.shape[-1])
        if len(flat) > _KERNEL_ROWS or rows.dtype != torch.bfloat16:
            return unpacking(rows, weight, bias)
        outputs = packed_linear(flat, weight).view(*rows.shape[:-1], -1)
        return outputs if bias is None else outputs + bias

    return multiply
