"""Measures the time of a step by kind of kernel.

The names of kernels tell their kind; on a CPU, operators are counted instead.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from bench.gpu_phases import STEPS, Figures, Setup, context_of, filled
from dgls_engine.engine import Engine

PARTS = {
    "experts": r"grouped|expert|moe|_scaled_mm_grouped|histc|radix|sort",
    "attention": r"attend|attention|fmha|flash|sdpa",
    "sampler": r"sampl|gumbel|multinomial|softmax|argmax|entr",
    "dense": r"gemm|gemv|::mm|addmm|matmul|cutlass|cublas|nvjet|linear",
    "rest": r"",
}
"""A kernel's kind is the first one whose pattern matches its name."""


def profile(setup: Setup, precision: str) -> Figures:
    """Milliseconds of a step by kind of kernel, and the time without a kernel: the gaps between launches."""
    engine = Engine(setup.open(precision, setup.keystroke_prompt))
    context = context_of(engine, setup.keystroke_prompt)
    filled(engine, context, 32, STEPS, rounds=3)
    on_cuda = setup.torch_device.type == "cuda"
    activities = [ProfilerActivity.CUDA, ProfilerActivity.CPU] if on_cuda else [ProfilerActivity.CPU]
    started = time.perf_counter()
    plain = filled(engine, context, 32, STEPS, rounds=1)[0].timings.denoise_ms / STEPS
    with torch.profiler.profile(activities=activities) as recorded:
        filled(engine, context, 32, STEPS, rounds=1)
    events: Any = recorded.key_averages()
    kernel_ms: Counter[str] = Counter()
    for event in events:
        microseconds = event.self_device_time_total if on_cuda else event.self_cpu_time_total
        kernel_ms[event.key] += microseconds / 1000 / STEPS
    parts: Counter[str] = Counter()
    for name, ms in kernel_ms.items():
        parts[next(part for part, pattern in PARTS.items() if re.search(pattern, name, re.IGNORECASE))] += ms
    return {
        "ms_a_step": round(plain, 3),
        "parts_ms": {part: round(ms, 3) for part, ms in parts.most_common()},
        "no_kernel_ms": round(max(0.0, plain - sum(kernel_ms.values())), 3) if on_cuda else None,
        "longest": {name[:60]: round(ms, 3) for name, ms in kernel_ms.most_common(12)},
        "launches_a_step": sum(event.count for event in events) // STEPS,
        "seconds": round(time.perf_counter() - started, 1),
    }
