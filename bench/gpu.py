"""Benchmarks the full-size model with random weights on this machine's GPU: speed, memory, comparison with baselines.

    python bench/gpu.py [--small] [--model DIR] [--only PHASE,...] [--device cuda] [--rounds 7]

Each phase runs in its own process, so that it has the whole device and a failure affects only its own figures.
`--small` shrinks the model and the prompts for a CPU; its figures only show that the benchmark runs. `--model` takes a
model of any family from its folder, with its weights; the phases that compare DiffusionGemma with transformers do not
run then, nor do those over LSP. The last line is JSON.

| phase | figure |
|---|---|
| copy | bandwidth of a copy on the device |
| steps | ms for each denoising step, by precision, prompt and hole; prefill |
| throughput | tokens a second of the longest fills, 16 steps |
| memory | the peak of the device's memory, with a long prompt |
| cancel | time from a cancel to an idle engine |
| generate | the same request with transformers' `generate` |
| sibling | as many tokens with the autoregressive model of the same size |
| keystroke | time from a keystroke to the suggestion, over LSP, with the shipped length policy |
| profile | the milliseconds of a step by kind of kernel |
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from bench.full_size import write_folder
from bench.gpu_phases import PHASES, STEPS, Figures, Setup
from bench.gpu_profile import profile
from bench.rivals import CACHES
from dgls_engine.device import device_name

RUNS: Mapping[str, tuple[str, ...]] = {
    "copy": ("none",),
    "steps": ("bfloat16", "int4", "fp8"),
    "throughput": ("bfloat16", "int4"),
    "memory": ("int4",),
    "cancel": ("int4",),
    "generate": ("bfloat16",),
    "sibling": ("bfloat16",),
    "keystroke": ("int4",),
    "profile": ("bfloat16", "int4"),
}
"""The precisions of each phase; `--small` uses float32 instead of bfloat16."""

OF_ANY_FAMILY = ("copy", "steps", "throughput", "memory", "cancel", "profile")

AIMS = {
    "step_over_floor_bf16": (1.3, "most"),
    "step_over_floor_int4": (1.6, "most"),
    "generate_over_ours_bf16": (3.0, "least"),
    "generate_bf16_over_ours_int4": (5.0, "least"),
    "sibling_over_ours_at_224": (4.0, "least"),
    "keystroke_p50_ms": (150.0, "most"),
    "keystroke_p90_ms": (250.0, "most"),
    "tokens_a_second": (1000.0, "least"),
    "peak_gb_int4_8k": (18.0, "most"),
    "cancel_steps_most": (1.0, "most"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a model that a CPU can run")
    parser.add_argument("--model", type=Path, metavar="DIR", help="a model's folder, with weights")
    parser.add_argument("--only", default=",".join(RUNS), help="phases, separated by commas; PHASE:PRECISION for one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=7)
    for hidden in ("--phase", "--precision", "--folder", "--serve"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device == "cpu" and not options.small:
        parser.error("the full size needs a CUDA GPU; --small runs on a CPU")
    if options.serve:
        from bench.gpu_keystroke import run_server

        return run_server(_setup(options), options.precision, Path(options.serve))
    if options.phase:
        print(json.dumps(_phase(options.phase)(_setup(options), options.precision)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.folder = str(options.model or write_folder(Path(folder) / "model", options.small))
        phases = dict(_phases(options))
    figures = summary(phases)
    for name, value in figures.items():
        aim = None if options.small or options.model else AIMS.get(name)
        print(f"{name:32} {'-' if value is None else value:>10}   {_verdict(value, aim)}")
    header = {
        "bench": "gpu",
        "model": str(options.model or "random weights"),
        "small": options.small,
        "device": device_name(torch.device(options.device)),
    }
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    ratio = {"ratio_to_generate": figures["generate_over_ours_bf16"]}
    print(json.dumps(header | versions | ratio | figures | {"phases": phases}))
    return 0


def _verdict(value: float | None, aim: tuple[float, str] | None) -> str:
    if value is None or aim is None:
        return ""
    bound, side = aim
    met = value <= bound if side == "most" else value >= bound
    return f"at {side} {bound:g}: {'met' if met else 'missed'}"


def _setup(options: argparse.Namespace) -> Setup:
    return Setup(Path(options.folder), options.device, options.small, options.rounds, options.model is not None)


def _phase(name: str) -> Callable[[Setup, str], Figures]:
    if name == "keystroke":  # the only phase that needs the server's packages
        from bench.gpu_keystroke import keystroke

        return keystroke
    return profile if name == "profile" else PHASES[name]


def _phases(options: argparse.Namespace) -> Iterator[tuple[str, Figures]]:
    """Each phase's figures, under `phase` or `phase:precision`."""
    chosen = options.only.split(",")
    for phase, precisions in RUNS.items():
        if options.model is not None and phase not in OF_ANY_FAMILY:
            continue
        for precision in precisions:
            name = phase if len(precisions) == 1 else f"{phase}:{precision}"
            if phase in chosen or f"{phase}:{precision}" in chosen:
                run_precision = "float32" if options.small and precision == "bfloat16" else precision
                print(f"{name} ...", flush=True)
                figures = _run(options, phase, run_precision)
                print(f"  {json.dumps(figures)}", flush=True)
                yield name, figures


def _run(options: argparse.Namespace, phase: str, precision: str) -> Figures:
    command = [sys.executable, __file__, "--phase", phase, "--precision", precision, "--folder", options.folder]
    command += ["--device", options.device, "--rounds", str(options.rounds), *(["--small"] if options.small else [])]
    command += ["--model", str(options.model)] if options.model is not None else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stderr[-4000:])
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]}
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def summary(phases: Mapping[str, Figures]) -> dict[str, float | None]:
    """The figures that have an aim; None if a figure was not measured or its phase failed."""

    def get(phase: str, *path: str) -> Any:
        value: Any = phases.get(phase, {})
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def over(one: float | None, other: float | None) -> float | None:
        return None if not one or not other else round(one / other, 2)

    def worst_step(precision: str) -> float | None:
        """The slowest step, divided by the time to read each weight once at the speed of a copy. Only holes up to 64
        tokens count, whose canvases cost about the same."""
        table, copied = get(f"steps:{precision}", "steps"), get("copy", "copy_gb_s")
        if not table or not copied:
            return None
        floor = get(f"steps:{precision}", "weight_bytes") / copied / 1e6
        return over(max(row["ms_a_step"] for name, row in table.items() if int(name.split("/")[1]) <= 64), floor)

    def best(phase: str, figure: str) -> float | None:
        return min((ms for cache in CACHES if (ms := get(phase, cache, figure))), default=None)

    generated, one_step = best("generate", "ms"), get("steps:int4", "keystroke_ms_a_step")
    ours_32 = get("steps:bfloat16", "keystroke_ms_a_step")
    return {
        "step_over_floor_bf16": worst_step("bfloat16"),
        "step_over_floor_int4": worst_step("int4"),
        "generate_over_ours_bf16": over(generated, get("generate", "ours_ms")),
        "generate_bf16_over_ours_int4": over(generated, one_step and one_step * STEPS),
        "sibling_over_ours_at_224": over(best("sibling", "ms_longest"), get("throughput:bfloat16", "ms")),
        "sibling_over_ours_at_32": over(best("sibling", "ms_32"), ours_32 and ours_32 * STEPS),
        "keystroke_p50_ms": get("keystroke", "p50"),
        "keystroke_p90_ms": get("keystroke", "p90"),
        "tokens_a_second": get("throughput:int4", "tokens_a_second"),
        "peak_gb_int4_8k": get("memory", "peak_gb"),
        "cancel_steps_most": get("cancel", "cancel_steps_most"),
    }


if __name__ == "__main__":
    sys.exit(main())
