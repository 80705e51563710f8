"""Varies one setting of a model's profile at a time, on the same held-out single-line holes.

    python bench/sampling.py [--holes 200] [--model embedded] [--held-out runs/embedded/held_out.jsonl] [--only NAME]

The settings: maximum steps, entropy bound in nats, and the tokens of code in the canvas before and after the hole (the
prompt shows the rest). The canvas grows with these; the embedded model was trained on canvases of up to 96 tokens.
Milliseconds are medians with one thread. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from dgls_engine.engine import Engine
from dgls_engine.profile import Profile
from dgls_engine.weights.loader import load
from dgls_training.corpus import load as load_corpus
from dgls_training.evaluate import Case, cases, fill, score

STEPS = (2, 4, 6, 8, 12, 16, 24, 48)
BOUNDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SIDES = (0, 16, 32, 64, 96)
HOLE = 40
"""Room for the hole, in tokens, while the code before or after it varies."""


@dataclass(frozen=True, slots=True)
class Row:
    """Shares of 1; mean steps; milliseconds."""

    varied: str
    value: float
    exact_match: float
    similarity: float
    steps: float
    ms_p50: float


def main() -> None:
    options = _options()
    held_out = cases(load_corpus(options.held_out), options.holes, options.seed)
    loaded = load(options.model, "cpu", "auto")
    rows: list[Row] = []
    try:
        for varied, value, overrides in _profiles(loaded.profile):
            if options.only in (None, varied):
                rows.append(_row(varied, value, Engine(loaded.with_profile(overrides)), held_out))
    except KeyboardInterrupt:
        print("interrupted; the figures so far:")
    Console().print(_table(rows))
    print(json.dumps({"holes": len(held_out), "seed": options.seed, "rows": [asdict(row) for row in rows]}))


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--holes", type=int, default=200)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--held-out", type=Path, default=Path("runs/embedded/held_out.jsonl"))
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--only", choices=("steps", "bound", "before", "after"))
    return parser.parse_args()


def _profiles(shipped: Profile) -> Iterator[tuple[str, float, dict[str, float]]]:
    for steps in STEPS:
        yield "steps", steps, {"max_steps": steps}
    for bound in BOUNDS:
        yield "bound", bound, {"entropy_bound": bound}
    for side in SIDES:
        length = side + shipped.after_tokens + HOLE
        yield "before", side, {"before_tokens": side, "canvas_tokens": length}
    for side in SIDES:
        length = side + shipped.before_tokens + HOLE
        yield "after", side, {"after_tokens": side, "canvas_tokens": length}


def _row(varied: str, value: float, engine: Engine, held_out: list[Case]) -> Row:
    infills = [
        fill(engine, case)
        for case in track(held_out, f"{varied} {value:g}", console=Console(stderr=True), transient=True)
    ]
    scores = score(held_out, [infill.texts[0] for infill in infills])
    return Row(
        varied,
        value,
        scores.exact_match,
        scores.edit_similarity,
        round(statistics.mean(infill.steps for infill in infills), 2),
        round(statistics.median(infill.timings.prefill_ms + infill.timings.denoise_ms for infill in infills), 1),
    )


def _table(rows: list[Row]) -> Table:
    table = Table("varied", "value", "exact %", "similarity", "steps", "ms")
    for row in rows:
        table.add_row(
            row.varied,
            f"{row.value:g}",
            f"{row.exact_match:.1%}",
            f"{row.similarity:.3f}",
            f"{row.steps:.1f}",
            f"{row.ms_p50:.0f}",
        )
    return table


if __name__ == "__main__":
    main()
