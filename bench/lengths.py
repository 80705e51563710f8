"""Compares the length policies on the same held-out single-line holes, with the true length as the upper bound.

    python bench/lengths.py [--holes 500] [--model embedded] [--held-out runs/embedded/held_out.jsonl] [--seed 0]

A hole is the rest of a line, so its fill ends at a line break; `fixed` gets the longest hole. `oracle` is `fixed` with
the true length. Within 0, 1, 2: the share of holes whose text differs from the true text by at most so many tokens.
Surprise: nats for each token across the seam of the filled canvas (`loop.seam`); `truth` is the author's text.
Milliseconds are medians with one thread and include the prefill; the policies are interleaved. Ctrl-C prints the
figures so far. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dgls_engine.engine import Engine
from dgls_engine.loop.judged_rows import AFTER, seam_rows
from dgls_engine.loop.seam import surprises
from dgls_engine.model.diffusion_gemma.passes import Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.profile import HolePolicy
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.prompt.formats import open_prompt
from dgls_engine.text.canvas import lay_out
from dgls_engine.text.length import Fixed
from dgls_engine.types import Hole, Infill, InfillRequest, Revise
from dgls_engine.weights.loader import LoadedModel, load
from dgls_training.corpus import load as load_corpus
from dgls_training.evaluate import Case, cases, request_of, score

ORACLE = "oracle"
POLICIES: dict[str, HolePolicy] = {
    **{policy: policy for policy in get_args(HolePolicy) if policy != "grow"},  # a model has to be trained for it
    ORACLE: "fixed",
}


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one policy; shares are from 0 to 1."""

    exact_match: float
    similarity: float
    within_0: float
    within_1: float
    within_2: float
    surprise: float
    steps: float
    passes: float
    ms_p50: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """A text in its hole: its length in tokens, and its surprise in nats for each token across its seam. `infill`: the
    engine's answer that contains it; None for the author's text."""

    text: str
    infill: Infill | None
    length: int
    surprise: float


class Judge:
    """Measures texts in their holes. It has its own encoder."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._prompt = open_prompt(loaded.tokenizer, loaded.profile, loaded.folder)
        self._encoder = Encoder(prompt_factory(loaded.model))
        size = loaded.model.model.decoder.vocab_size
        self._noise = torch.randint(size, (AFTER,), generator=torch.Generator().manual_seed(0))

    def attempt(self, request: InfillRequest, text: str, infill: Infill | None) -> Attempt:
        """Measure a text in the request's hole."""
        loaded = self._loaded
        filled = [replace(s, start=Revise(text, 1.0)) if isinstance(s, Hole) else s for s in request.segments]
        canvas = lay_out(filled, loaded.tokenizer, loaded.profile, Fixed().positions, self._prompt.canvas_end)
        (hole,) = canvas.holes
        ids = self._prompt.encode(request.context)
        self._encoder.prefill(ids)
        draft = canvas.ids[hole.start : hole.end]
        passes = Eager(loaded.model, self._encoder.cache.seen(), len(ids), loaded.profile.pinned_signal)
        (nats,) = surprises(passes, [canvas], [draft], 0, self._noise)
        return Attempt(text, infill, len(hole), nats / len(seam_rows(canvas, 0)))


def measured(loaded: LoadedModel, wanted: Sequence[Case], seed: int) -> tuple[int, dict[str, Row]]:
    """The number of filled holes (Ctrl-C ends it early), and the figures of each policy."""
    engines = {
        name: Engine(replace(loaded, profile=replace(loaded.profile, hole_policy=policy)))
        for name, policy in POLICIES.items()
    }
    judge = Judge(loaded)
    tried: list[dict[str, Attempt]] = []
    try:
        for case in track(wanted, "Filling", console=Console(stderr=True)):
            tried.append(_attempts(engines, judge, case, seed))
    except KeyboardInterrupt:
        pass
    if not tried:
        raise SystemExit("no hole was filled; run again with more --holes")
    done = wanted[: len(tried)]
    truth = [attempts["truth"].length for attempts in tried]
    return len(done), {name: _row(done, [attempts[name] for attempts in tried], truth) for name in tried[0]}


def _attempts(engines: Mapping[str, Engine], judge: Judge, case: Case, seed: int) -> dict[str, Attempt]:
    attempts: dict[str, Attempt] = {}
    for name, engine in engines.items():
        request = request_of(engine.profile, case, seed, oracle_length=name == ORACLE)
        *_, infill = engine.infill(request)
        assert isinstance(infill, Infill)
        attempts[name] = judge.attempt(request, infill.texts[0], infill)
    return {"truth": judge.attempt(request, case.answer, None)} | attempts


def _row(wanted: Sequence[Case], attempts: Sequence[Attempt], truth: Sequence[int]) -> Row:
    errors = [abs(attempt.length - length) for attempt, length in zip(attempts, truth, strict=True)]
    within_0, within_1, within_2 = (
        round(sum(error <= most for error in errors) / len(errors), 4) for most in (0, 1, 2)
    )
    scores = score(wanted, [attempt.text for attempt in attempts])
    infills = [attempt.infill for attempt in attempts if attempt.infill is not None]
    times = [infill.timings.prefill_ms + infill.timings.denoise_ms for infill in infills]
    return Row(
        scores.exact_match,
        scores.edit_similarity,
        within_0,
        within_1,
        within_2,
        round(statistics.mean(attempt.surprise for attempt in attempts), 3),
        round(statistics.mean([infill.steps for infill in infills] or [0]), 1),
        round(statistics.mean([infill.passes for infill in infills] or [0]), 1),
        round(statistics.median(times or [0]), 1),
    )


def table_of(rows: dict[str, Row]) -> Table:
    table = Table("policy", *(name.replace("_", " ") for name in Row.__slots__))
    for name, row in rows.items():
        table.add_row(name, *(f"{getattr(row, figure):g}" for figure in Row.__slots__))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="The hole policies on the same held-out holes.")
    parser.add_argument("--holes", type=int, default=500)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--held-out", type=Path, default=Path("runs/embedded/held_out.jsonl"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(options.model, "cpu")
    wanted = cases(load_corpus(options.held_out), options.holes, options.seed)
    holes, rows = measured(loaded, wanted, options.seed)
    Console(stderr=True, width=140).print(table_of(rows))
    figures = {name: asdict(row) for name, row in rows.items()}
    print(json.dumps({"bench": "lengths", "model": loaded.info.name, "holes": holes, "policies": figures}))


if __name__ == "__main__":
    main()
