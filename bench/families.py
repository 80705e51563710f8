"""Holds each family of published mask diffusion models to a slow reference, and measures a step and the kept prompt.

    PYTHONPATH=. python bench/families.py [--steps 12] [--threads 1] [--kept FOLDER] [--holes 12]

For each published shape in miniature, with random weights: the largest difference of its logits from the reference of
tests/engine/published.py, and the median milliseconds of a step of `Engine.infill`, for a line's hole.

`--kept` measures on a real model (its folder; `small` for the fetched one) what it costs in accuracy to keep the
prompt's keys and values for N steps. The model reads this repository's code as one sequence, and exact passes decide
masks by confidence; each step is also computed with kept keys and values. Reported: the share of undecided rows whose
likeliest token is the same, the mean difference of that token's log-probability, and the milliseconds of a step. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dgls_engine.engine import Engine
from dgls_engine.model.batches import places
from dgls_engine.model.masked.whole import WholePasses, WholePrompt
from dgls_engine.types import Context, Hole, InfillRequest, Limits, Pinned, Segment, Step
from dgls_engine.weights.loader import LoadedModel, load
from dgls_engine.weights.small import small_folder
from tests.engine.published import KINDS, SHIFTED, published_checkpoint, reference

ABOVE, BELOW = "import path\nfrom data import key, value\n" * 8, "def write(file):\n    return None\n" * 4
EVERY = (2, 4, 8)
MASKED, PROMPT, NEAR = 8, 320, 32
"""Tokens of a hole, of the prompt on both sides, and of the code in the canvas on each side."""


def difference(loaded: LoadedModel, kind: str) -> float:
    """The largest absolute difference of the logits of a hole's rows from the reference's."""
    above, canvas, below = list(range(20, 50)), [100, 101, 2, 2, 2, 2, 103], list(range(60, 80))
    rows = [2, 3, 4, 5]
    logits = logits_of(passes_between(loaded, above, below, 1), canvas, rows)
    expected = reference(kind, load_file(loaded.folder / "model.safetensors"), [*above, *canvas, *below])
    at = [len(above) + row - (kind in SHIFTED) for row in rows]
    return float((logits - expected[at]).abs().max())


def passes_between(loaded: LoadedModel, above: Sequence[int], below: Sequence[int], refresh: int) -> WholePasses:
    mask = loaded.tokenizer.id_of(loaded.profile.mask_token)
    prompt = WholePrompt(loaded.model, len(above) + len(below) + 1, 2 * NEAR + MASKED, mask)
    prompt.extend([*above, mask, *below])
    return WholePasses(loaded.model, prompt, loaded.model.config.shifted, refresh)


@torch.inference_mode()
def logits_of(passes: WholePasses, canvas: Sequence[int], rows: Sequence[int]) -> Tensor:
    ids, at = torch.tensor([list(canvas)]), places([rows], passes.device)
    hidden = passes.run(ids, passes.start(ids, at, at[0]), [len(canvas)], at)
    return passes.head.logits(hidden)


def step_ms(loaded: LoadedModel, steps: int) -> float:
    """The median milliseconds of a step."""
    segments: list[Segment] = [Pinned("def read(path):\n    return "), Hole(max_tokens=16), Pinned("\n")]
    request = InfillRequest(Context(above=ABOVE, below=BELOW), segments, Limits(max_steps=steps))
    engine = Engine(loaded.with_profile({"hole_policy": "fixed"}))
    list(engine.infill(request))
    times, began = [], time.perf_counter()
    for event in engine.infill(request):
        now = time.perf_counter()
        if isinstance(event, Step):
            times.append((now - began) * 1000)
        began = now
    return statistics.median(times)


def families(steps: int) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            loaded = load(published_checkpoint(Path(folder), kind), "cpu", "float32")
            figures[kind] = {
                "max_abs_diff": float(f"{difference(loaded, kind):.2g}"),
                "ms_a_step": round(step_ms(loaded, steps), 2),
            }
        print(f"{kind:12} {figures[kind]['max_abs_diff']:.1e} {figures[kind]['ms_a_step']:6.2f} ms a step", flush=True)
    return figures


def kept(folder: Path, holes: int) -> dict[str, dict[str, float]]:
    """The figures for each number of steps that keep the prompt's keys and values."""
    loaded = load(folder, "cpu", "float32")
    loaded = loaded.with_profile({"mask_token": loaded.profile.mask_token or "<|mask|>"})
    sources = sorted(Path("engine/dgls_engine").rglob("*.py"))
    chosen = random.Random(0)
    found: dict[int, list[tuple[float, ...]]] = {every: [] for every in EVERY}
    exact_ms: list[float] = []
    for _ in range(holes):
        ids = loaded.tokenizer.encode(chosen.choice(sources).read_text(encoding="utf-8"))
        if len(ids) < PROMPT // 2:
            continue
        at = chosen.randrange(2 * NEAR, max(2 * NEAR + 1, min(len(ids), PROMPT) - 2 * NEAR))
        _measure(loaded, ids, at, found, exact_ms)
    names = ("same_token", "nats", "ms_a_step")
    figures = {
        str(every): {
            name: round(statistics.mean(values), 4) for name, values in zip(names, zip(*rows, strict=True), strict=True)
        }
        for every, rows in found.items()
    }
    return figures | {"1": {"same_token": 1.0, "nats": 0.0, "ms_a_step": round(statistics.mean(exact_ms), 4)}}


def _measure(
    loaded: LoadedModel, ids: list[int], at: int, found: dict[int, list[tuple[float, ...]]], exact_ms: list[float]
) -> None:
    mask = loaded.tokenizer.id_of(loaded.profile.mask_token)
    above, below = ids[max(0, at - PROMPT // 2) : at - NEAR], ids[at + MASKED + NEAR : at + MASKED + PROMPT // 2]
    before, after = ids[at - NEAR : at], ids[at + MASKED : at + MASKED + NEAR]
    exact = passes_between(loaded, above, below, 1)
    others = {every: passes_between(loaded, above, below, every) for every in EVERY}
    hole = [mask] * MASKED
    while mask in hole:
        canvas = [*before, *hole, *after]
        open_rows = [row for row, id in enumerate(hole) if id == mask]
        rows = [NEAR + row for row in open_rows]
        began = time.perf_counter()
        likely = logits_of(exact, canvas, rows).log_softmax(-1)
        exact_ms.append((time.perf_counter() - began) * 1000)
        likely[:, mask] = -torch.inf
        best = likely.argmax(-1)
        for every, passes in others.items():
            began = time.perf_counter()
            own = logits_of(passes, canvas, rows).log_softmax(-1)
            taken = (time.perf_counter() - began) * 1000
            own[:, mask] = -torch.inf
            same = float((own.argmax(-1) == best).float().mean())
            change = (own.gather(1, best[:, None]) - likely.gather(1, best[:, None])).abs()
            found[every].append((same, float(change.mean()), taken))
        surest = int(likely.amax(-1).argmax())
        hole[open_rows[surest]] = int(best[surest])


def main() -> None:
    parser = argparse.ArgumentParser(description="Published mask diffusion models in miniature, and the kept prompt.")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", help="a model's folder, or small")
    parser.add_argument("--holes", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {"families": families(options.steps)}
    if options.kept is not None:
        folder = small_folder() if options.kept == "small" else Path(options.kept)
        if folder is None:
            raise SystemExit("`dgls models pull small` fetches this model")
        figures["kept"] = kept(folder, options.holes)
        for every, row in figures["kept"].items():
            print(f"kept for {every:>2} steps: {row}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
