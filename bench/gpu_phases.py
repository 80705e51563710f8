"""The phases of `bench/gpu.py`, one function each. A phase runs in its own process and has the whole device.

Weights are random: the text means nothing, and the benchmark sets the number of steps. The timed calls are those that
users wait for: `Engine.infill`, and requests to the server.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench import rivals
from bench.full_size import config, open_random
from dgls_engine.engine import Engine
from dgls_engine.errors import Cancelled
from dgls_engine.profile import Profile
from dgls_engine.types import CancelToken, Context, Hole, Infill, InfillRequest, Limits, Pinned, Segment
from dgls_engine.weights.loader import LoadedModel, load
from dgls_engine.weights.profiles import read_profile

STEPS = 12
"""Steps of a keystroke's request: the full model needs this many for a canvas of 32 tokens or more (measured)."""

SCAFFOLD = 150
"""About the number of prompt tokens that do not come from the file."""

LINE = "        totals[entry.account] = totals.get(entry.account, 0) + entry.amount\n"


@dataclass(frozen=True, slots=True)
class Setup:
    """The model, the device and the number of rounds. `prompts` and `holes` are in tokens; a keystroke uses the middle
    prompt. `weights`: the folder's own weights are loaded, and prompts and holes are at most as long as its profile
    allows; otherwise they are random."""

    folder: Path
    device: str
    small: bool
    rounds: int
    weights: bool = False

    @property
    def prompts(self) -> tuple[int, ...]:
        usual = (128, 256, 512) if self.small else (512, 4096, 16384)
        most = self._profile.max_prompt_tokens if self.weights else usual[-1]
        return usual if most >= usual[-1] else (most // 4, most // 2, most)

    @property
    def holes(self) -> tuple[int, ...]:
        usual = (16, 32) if self.small else (16, 32, 64, 224)
        return tuple(hole for hole in usual if not self.weights or hole <= 32 or hole <= self._profile.hole_tokens)

    @property
    def _profile(self) -> Profile:
        return read_profile(self.folder)

    @property
    def keystroke_prompt(self) -> int:
        return self.prompts[1]

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def open(self, precision: str, prompt: int, policy: str = "fixed") -> LoadedModel:
        if not self.weights:
            return open_random(self.folder, precision, self.device, prompt, policy)
        own = "batch" if policy == "batch" and self._profile.in_one_sequence else "fixed"
        return load(self.folder, self.device, precision).with_profile({"hole_policy": own})


Figures = dict[str, Any]


def copy(setup: Setup, precision: str) -> Figures:
    """The bandwidth of a copy on the device, read and written bytes together: a lower bound for reading weights."""
    device = setup.torch_device
    source = torch.zeros(2**26 if device.type == "cpu" else 2**31, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = [rivals.milliseconds(lambda: target.copy_(source), device) for _ in range(20)]
    return {"copy_gb_s": round(2 * source.numel() / statistics.median(times) / 1e6, 1)}


def steps(setup: Setup, precision: str) -> Figures:
    """Milliseconds of a denoising step for every prompt and hole, and of the prefill of every prompt."""
    longest = setup.prompts[-1]
    started = time.perf_counter()
    engine = Engine(setup.open(precision, longest))
    figures: Figures = {"load_s": round(time.perf_counter() - started, 1), "weight_bytes": engine.info.weight_bytes}
    table: dict[str, Figures] = {}
    for prompt in setup.prompts:
        context = context_of(engine, prompt)
        cold = filled(engine, context, setup.holes[0], 1, rounds=1)[0]
        for hole in setup.holes:
            filled(engine, context, hole, STEPS, rounds=2)
            infills = filled(engine, context, hole, STEPS, rounds=setup.rounds)
            step_times = [infill.timings.denoise_ms / infill.steps for infill in infills]
            table[f"{prompt}/{hole}"] = {
                "ms_a_step": round(statistics.median(step_times), 3),
                "prompt_tokens": infills[0].prompt_tokens,
                "canvas_tokens": infills[0].canvas_tokens,
                "prefilled_tokens": max(infill.prefilled_tokens for infill in infills),
            }
        table[f"{prompt}/{setup.holes[0]}"]["prefill_ms"] = round(cold.timings.prefill_ms, 1)
    usual = table[f"{setup.keystroke_prompt}/32"]["ms_a_step"]
    return figures | {"steps": table, "keystroke_ms_a_step": usual, "peak_gb": _peak(setup)}


def throughput(setup: Setup, precision: str) -> Figures:
    """Tokens a second of the longest fills, with 16 steps and a warm prompt."""
    engine = Engine(setup.open(precision, setup.keystroke_prompt))
    context, hole = context_of(engine, setup.keystroke_prompt), setup.holes[-1]
    filled(engine, context, hole, 16, rounds=2)
    ms = statistics.median(_whole(infill) for infill in filled(engine, context, hole, 16, setup.rounds))
    return {"ms": round(ms, 1), "tokens_a_second": round(hole / ms * 1000, 1), "hole": hole}


def memory(setup: Setup, precision: str) -> Figures:
    """The peak of the device's memory with a long prompt, from the load to the answer."""
    prompt = 512 if setup.small else 8192
    engine = Engine(setup.open(precision, prompt, policy="batch"))
    loaded = _peak(setup)
    filled(engine, context_of(engine, prompt), 32, STEPS, rounds=2, least=1)
    return {"prompt": prompt, "peak_at_load_gb": loaded, "peak_gb": _peak(setup)}


def cancel(setup: Setup, precision: str) -> Figures:
    """The time from a cancel, at many moments of a request, to an idle engine; in milliseconds and in steps."""
    engine = Engine(setup.open(precision, setup.keystroke_prompt))
    context = context_of(engine, setup.keystroke_prompt)
    whole = filled(engine, context, 32, STEPS, rounds=3)[-1]
    step_ms = whole.timings.denoise_ms / whole.steps
    delays = [_delay(engine, context, step_ms * STEPS * share / 40) for share in range(1, 40)]
    return {
        "cancel_ms_p50": round(statistics.median(delays), 2),
        "cancel_ms_most": round(max(delays), 2),
        "cancel_steps_most": round(max(delays) / step_ms, 2),
    }


def generate(setup: Setup, precision: str) -> Figures:
    """The same request with transformers' `generate`, with equal steps and each cache; `ms` includes the prefill.

    The engine's prompt is cached, as while the user types; it is not in `ours_cold_ms`."""
    loaded = setup.open(precision, setup.keystroke_prompt)
    engine, device = Engine(loaded), setup.torch_device
    context = context_of(engine, setup.keystroke_prompt)
    filled(engine, context, 32, STEPS, rounds=2)
    infills = filled(engine, context, 32, STEPS, rounds=setup.rounds)
    ours = statistics.median(_whole(infill) for infill in infills)
    cold = statistics.median(
        _whole(filled(engine, context_of(engine, setup.keystroke_prompt, first), 32, STEPS, rounds=1)[0])
        for first in range(1, 1 + setup.rounds)
    )
    prompt = torch.randint(3, 4000, (1, infills[0].prompt_tokens), device=device)
    model = rivals.as_published(loaded.model)

    def run(steps: int, cache: str) -> float:
        return rivals.milliseconds(lambda: rivals.stock(model, prompt, steps, cache), device)

    figures: Figures = {"ours_ms": round(ours, 1), "ours_cold_ms": round(cold, 1)}
    for cache, times in _medians(run, (STEPS, 2 * STEPS), setup).items():
        figures[cache] = (
            {"failed": times}
            if isinstance(times, str)
            else {"ms": round(times[STEPS], 1), "ms_a_step": round((times[2 * STEPS] - times[STEPS]) / STEPS, 2)}
        )
    return figures


def sibling(setup: Setup, precision: str) -> Figures:
    """As many tokens with the autoregressive model of the same size, without and with the prefill."""
    device = setup.torch_device
    model = rivals.sibling(config(setup.small)["text_config"], device, getattr(torch, precision))
    prompt = torch.randint(3, 4000, (1, setup.keystroke_prompt), device=device)

    def run(tokens: int, cache: str) -> float:
        return rivals.milliseconds(lambda: rivals.autoregressive(model, prompt, tokens, cache), device)

    sizes = (1, 32, setup.holes[-1])
    figures: Figures = {}
    for cache, times in _medians(run, sizes, setup).items():
        figures[cache] = (
            {"failed": times}
            if isinstance(times, str)
            else {
                "prefill_ms": round(times[1], 1),
                "ms_32": round(times[32] - times[1], 1),
                "ms_longest": round(times[setup.holes[-1]] - times[1], 1),
            }
        )
    return figures


PHASES: Mapping[str, Callable[[Setup, str], Figures]] = {
    phase.__name__: phase for phase in (copy, steps, throughput, memory, cancel, generate, sibling)
}


def _medians(run: Callable[[int, str], float], sizes: Sequence[int], setup: Setup) -> dict[str, dict[int, float] | str]:
    """Median milliseconds by cache and size; an error message for a cache that does not work here."""
    # On a CPU the static cache takes minutes to compile and is not used.
    caches = rivals.CACHES if setup.torch_device.type == "cuda" else ["dynamic"]
    medians: dict[str, dict[int, float] | str] = {}
    for cache in caches:
        try:
            for size in sizes:
                run(size, cache)  # compiles
            medians[cache] = {size: statistics.median(run(size, cache) for _ in range(setup.rounds)) for size in sizes}
        except Exception as error:  # this version of transformers may not support the model with this cache
            medians[cache] = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return medians


def context_of(engine: Engine, tokens: int, first: int = 0) -> Context:
    """A file whose text makes a prompt of about `tokens` tokens. Each `first` gives another file."""
    lines = max(3, (tokens - SCAFFOLD) // engine.count(LINE))
    text = [f"# {first + number}\n" if number == 0 else LINE for number in range(lines)]
    above = lines * 2 // 3
    return Context("ledger.py", "python", above="".join(text[:above]), below="".join(text[above:]) + f"# {first}\n")


def filled(
    engine: Engine, context: Context, hole: int, steps: int, rounds: int, least: int | None = None
) -> list[Infill]:
    """The answers of `rounds` requests with different seeds. The hole has `hole` tokens, or `least` to `hole`."""
    segments: list[Segment] = [Pinned(LINE * 6), Hole(least or hole, hole), Pinned("\n" + LINE * 4)]
    infills = []
    for seed in range(rounds):
        *_, infill = engine.infill(InfillRequest(context, segments, Limits(max_steps=steps), seed))
        assert isinstance(infill, Infill)
        infills.append(infill)
    return infills


def _whole(infill: Infill) -> float:
    return infill.timings.prefill_ms + infill.timings.denoise_ms


def _delay(engine: Engine, context: Context, after_ms: float) -> float:
    """Milliseconds from a cancel to an idle engine. The cancel comes `after_ms` after the request's first step."""
    token, cancelled_at = CancelToken(), [0.0]

    def cancel_request() -> None:
        cancelled_at[0] = time.perf_counter()
        token.cancel()

    segments: list[Segment] = [Pinned(LINE * 6), Hole(32, 32), Pinned("\n" + LINE * 4)]
    request = InfillRequest(context, segments, Limits(max_steps=10 * STEPS))
    try:
        for event in engine.infill(request, token):
            if getattr(event, "index", None) == 1:
                threading.Timer(after_ms / 1000, cancel_request).start()
    except Cancelled:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return (time.perf_counter() - cancelled_at[0]) * 1000
    raise AssertionError("the request ended before it was cancelled")


def _peak(setup: Setup) -> float | None:
    """The peak of torch's memory on the device so far, in GB; None without CUDA."""
    if setup.torch_device.type != "cuda":
        return None
    return round(torch.cuda.max_memory_allocated(setup.torch_device) / 1e9, 2)
