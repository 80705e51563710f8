"""Measures the time of a layer's experts on packed weights, and compares it with the time to read the weights once.

    python bench/experts.py [--tokens 64 128 256 1024] [--sweep] [--small]

On a CUDA GPU: a layer of the published model (128 experts, 8 for each token) with random weights, captured and
replayed, so that launches cost nothing. `bf16` is transformers' grouped_mm. The floor is the time to read each expert
with a token once, at the measured bandwidth. `--sweep` also measures other tiles. Without a GPU, or with --small: a
small layer on the plain path, without a floor. The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import DiffusionGemmaTextConfig
from transformers.models.diffusion_gemma.modeling_diffusion_gemma import DiffusionGemmaTextExperts

from dgls_engine.device import device_name, pick_device
from dgls_engine.model import kernels
from dgls_engine.model.diffusion_gemma import experts
from dgls_engine.model.packing import Packed, Packing, pack, relative_error

PACKINGS: dict[str, tuple[Packing, bool]] = {
    "int4": ("int4", False),
    "int4 zeros": ("int4", True),
    "fp8": ("fp8", False),
}
LAYERS = 30
Routed = tuple[Tensor, Tensor, Tensor]
"""hidden [T, D], chosen [T, k], shares [T, k]."""


@dataclass(frozen=True, slots=True)
class Row:
    """One layer's experts; `floor_ms` is None if the bandwidth was not measured."""

    weights: str
    tokens: int
    tiles: str
    ms: float
    floor_ms: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.floor_ms is None else round(self.ms / self.floor_ms, 2)


def main() -> None:
    options = _options()
    device = torch.device("cpu") if options.small else pick_device()
    on_gpu = kernels.usable(device)
    size = (128, 2816, 704, 8) if on_gpu else (8, 256, 64, 2)
    bandwidth = _bandwidth(device) if on_gpu else None
    layer, errors = _layer(device, *size), {}
    rows: list[Row] = []
    plain = (layer.gate_up_proj.detach(), layer.down_proj.detach())
    for name in ("bf16", *PACKINGS):
        packed = None
        if name != "bf16":
            packing, zeros = PACKINGS[name]
            packed = pack(plain[0], packing, zeros), pack(plain[1], packing, zeros)
            errors[name] = round(max(map(relative_error, plain, packed)), 4)
        for tokens in options.tokens:
            rows += _rows(name, layer, packed, _routed(tokens, device, *size), bandwidth, options.sweep and on_gpu)
    Console().print(_table(rows))
    figures = {"device": device_name(device), "copy_bytes_per_s": bandwidth, "relative_errors": errors}
    print(json.dumps({**figures, "rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}))


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 128, 256, 1024])
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--small", action="store_true")
    return parser.parse_args()


def _layer(device: torch.device, count: int, width: int, inner: int, top_k: int) -> DiffusionGemmaTextExperts:
    config = DiffusionGemmaTextConfig(
        hidden_size=width, moe_intermediate_size=inner, num_experts=count, top_k_experts=top_k
    )
    experts.register()
    config._experts_implementation = experts.IMPLEMENTATION
    with device:
        layer = DiffusionGemmaTextExperts(config).to(torch.bfloat16).requires_grad_(False)
    for weight in layer.parameters():
        weight.normal_(std=weight.shape[-1] ** -0.5, generator=torch.Generator(device).manual_seed(0))
    return layer


def _routed(tokens: int, device: torch.device, count: int, width: int, inner: int, top_k: int) -> Routed:
    """Random input. It chooses all experts equally often, as a trained router does."""
    generator = torch.Generator(device).manual_seed(tokens)
    chosen = torch.rand(tokens, count, device=device, generator=generator).topk(top_k).indices
    hidden = torch.randn(tokens, width, device=device, generator=generator).bfloat16()
    return hidden, chosen, torch.full((tokens, top_k), 1 / top_k, device=device)


def _rows(
    name: str,
    layer: DiffusionGemmaTextExperts,
    packed: tuple[Packed, Packed] | None,
    routed: Routed,
    bandwidth: float | None,
    sweep: bool,
) -> Iterator[Row]:
    captured = bandwidth is not None
    tokens, touched = len(routed[0]), torch.unique(routed[1]).numel()
    count = layer.gate_up_proj.shape[0]
    layer_bytes = sum(one.bytes for one in packed) if packed else sum(weight.nbytes for weight in layer.parameters())
    floor = None if bandwidth is None else round(layer_bytes * touched / count / bandwidth * 1000, 4)
    if packed is None:
        yield Row(name, tokens, "", _ms(partial(layer, *routed), captured), floor)
    elif bandwidth is None:
        yield Row(name, tokens, "", _ms(partial(experts.by_expert, layer, *routed, *packed), captured), floor)
    else:
        from dgls_engine.model.kernels.grouped import Tiles, grouped_experts, tiles

        default = tiles(routed[1].numel(), count)
        cuts = [default]
        if sweep:
            strips = ((64, 64, 4), (64, 128, 4), (128, 128, 4), (128, 128, 8))
            cuts += [
                Tiles(rows, gate_up, down, warps=warps, stages=stages, sharing=default.sharing)
                for rows, (gate_up, down, warps), stages in itertools.product((16, 32, 64), strips, (3, 4, 5))
            ]
        for cut in cuts:
            label = f"{cut.rows}x{cut.gate_up}/{cut.down} w{cut.warps} s{cut.stages}"
            yield Row(name, tokens, label, _ms(partial(grouped_experts, *routed, *packed, cut)), floor)


def _ms(work: Callable[[], object], captured: bool = True) -> float:
    """Median milliseconds. On a GPU: of replays of a captured graph, with the cache flushed between them."""
    work()
    if not captured:
        return round(statistics.median(_timed(work) for _ in range(5)), 4)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    flush, times = torch.empty(256 * 2**20, dtype=torch.uint8, device="cuda"), []
    for _ in range(20):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        flush.zero_()
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return round(float(statistics.median(times)), 4)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def _bandwidth(device: torch.device) -> float:
    """Bytes that a copy reads and writes in a second."""
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / (_ms(lambda: target.copy_(source)) / 1000)


def _table(rows: list[Row]) -> Table:
    table = Table("weights", "tokens", "tiles", "ms a layer", f"ms {LAYERS} layers", "floor", "ratio")
    for row in rows:
        floor = "" if row.floor_ms is None else f"{row.floor_ms:.3f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.weights, str(row.tokens), row.tiles, f"{row.ms:.3f}", f"{row.ms * LAYERS:.1f}", floor, ratio)
    return table


if __name__ == "__main__":
    main()
