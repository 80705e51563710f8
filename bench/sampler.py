"""Measures the part of a denoising step after the decoder pass.

    python bench/sampler.py [--rows 32] [--canvases 1] [--vocabulary 262144] [--hidden 64] [--rounds 5] [--threads 1]

This part turns the hole rows' hidden states into drafts on the host, and into the ids and the self-conditioning signal
of the next step. It is measured with the plain path, and with the kernels on a CUDA GPU with Triton. Weights are
random; on a GPU they are bfloat16. `head` and `mean` are the two matrix products with the embedding, which both paths
share. `ratio_to_copy` is the time of the kernels divided by the time to copy the bytes that they read and write.
Medians; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from dgls_engine.loop.choice import Choosing, Fused, Plain
from dgls_engine.loop.constraint import Constraint
from dgls_engine.loop.sampler import Sampler
from dgls_engine.model import kernels
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import SoftCappedHead

TEMPERATURE = 0.6


def head_and_embedding(vocabulary: int, hidden: int, device: torch.device) -> Any:
    """The parts of a model that a step needs after the pass."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    table: Any = torch.nn.Linear(hidden, vocabulary, bias=False, device=device, dtype=dtype)
    table.embed_scale = torch.ones((), device=device)
    parts = SimpleNamespace(decoder=SimpleNamespace(embed_tokens=table))
    return SimpleNamespace(lm_head=table, final_logit_softcapping=30.0, device=device, model=parts)


def milliseconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - start) * 1000

    once()
    return round(statistics.median(once() for _ in range(rounds)), 3)


def operations(work: Callable[[], object], device: torch.device) -> int:
    """The number of launched kernels on a GPU; on a CPU, of PyTorch operations that call no others."""
    activities = [ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU]
    with profile(activities=activities) as profiled:
        work()
    events: Any = profiled.events()
    if device.type == "cuda":
        return sum(1 for event in events if str(event.device_type).endswith("CUDA"))
    return sum(1 for event in events if event.name.startswith("aten::") and not event.cpu_children)


def figures(choosing: Choosing, model: Any, hidden: Tensor, sizes: list[int], rounds: int) -> dict[str, float]:
    device, vocabulary = hidden.device, model.lm_head.out_features
    samplers = [Sampler(vocabulary, 0.1, torch.Generator(device).manual_seed(number)) for number in range(len(sizes))]
    chooser = choosing(SoftCappedHead(model), samplers, [Constraint.none(size, vocabulary, device) for size in sizes])

    def step() -> None:
        choice = chooser.choose(hidden, 1, TEMPERATURE)
        choice.report()
        choice.advance(range(len(sizes)))

    return {
        "step_ms": milliseconds(step, device, rounds),
        "report_ms": milliseconds(lambda: chooser.choose(hidden, 1, TEMPERATURE).report(), device, rounds),
        "operations": operations(step, device),
    }


def copied(values: Tensor, rounds: int) -> float:
    """Milliseconds to read `values` twice and write them once, as the kernels do."""
    target = torch.empty_like(values)
    return 1.5 * milliseconds(lambda: target.copy_(values), values.device, rounds)


@torch.inference_mode()
def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = head_and_embedding(options.vocabulary, options.hidden, device)
    sizes = [options.rows] * options.canvases
    hidden = torch.randn(sum(sizes), options.hidden, device=device, dtype=model.lm_head.weight.dtype)
    raw = decoder.head(model, hidden)
    results: dict[str, Any] = {
        "head_ms": milliseconds(lambda: decoder.head(model, hidden), device, options.rounds),
        "mean_ms": milliseconds(lambda: decoder.mean_embeddings(model, raw), device, options.rounds),
        "plain": figures(Plain, model, hidden, sizes, options.rounds),
    }
    if kernels.usable(device):
        results["fused"] = figures(Fused, model, hidden, sizes, options.rounds)
        kernel_ms = results["fused"]["step_ms"] - results["head_ms"] - results["mean_ms"]
        results["ratio_to_copy"] = round(kernel_ms / copied(raw, options.rounds), 2)
    for name, value in results.items():
        print(f"{name:16} {value}")
    sizes_asked = {name: getattr(options, name) for name in ("rows", "canvases", "vocabulary", "hidden")}
    print(json.dumps({"bench": "sampler", "device": str(device), **sizes_asked, **results}))


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=32, help="hole rows of a canvas")
    parser.add_argument("--canvases", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=262_144)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
