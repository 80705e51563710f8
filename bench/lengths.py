"""Compares length policies, and rules of mask diffusion, on the same held-out single-line holes.

    python bench/lengths.py [--holes 60] [--model small] [--seed 0] [--only NAME ...]

A hole is the rest of a line, so its fill ends at a line break; `fixed` gets the longest hole. `oracle` is `fixed` with
the true length: the upper bound of the policies. `oracle threshold` is the same with the decoding rule `threshold`; a
model of another kind has no rules. Within 0, 1, 2: the share of holes whose text differs from the true one by at most
so many tokens. Surprise: nats for each token of the text in its place (`Engine.scores`); `truth` is the author's text.
Milliseconds are medians with one thread and include the prefill; the variants are interleaved. Ctrl-C prints the
figures so far. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import get_args

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.silence import held_out_texts
from dgls_engine.engine import Engine
from dgls_engine.profile import Decoding, HolePolicy, Profile
from dgls_engine.types import Infill, InfillRequest, Pinned, ScoreRequest
from dgls_engine.weights.loader import LoadedModel, load
from dgls_training.corpus import Source
from dgls_training.evaluate import Case, cases, request_of, score

ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one variant; shares are from 0 to 1."""

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
    """A text in its hole: its length in tokens, and its surprise in nats a token. `infill`: the engine's answer that
    contains it; None for the author's text."""

    text: str
    infill: Infill | None
    length: int
    surprise: float


def variants(profile: Profile) -> dict[str, Profile]:
    """The model's profile with each policy that it was trained for or that needs no training, and with each rule."""
    trained = {"grow", "pad"} - {profile.hole_policy}
    lengths = [policy for policy in get_args(HolePolicy) if policy not in trained]
    found = {policy: replace(profile, hole_policy=policy) for policy in lengths}
    found[ORACLE] = replace(profile, hole_policy="fixed")
    if profile.mask_token != "":
        if profile.decoding == "left":  # under which no row has a confidence of its own yet
            found["search"] = replace(found["search"], decoding="confidence")
        rules = [rule for rule in get_args(Decoding) if rule != profile.decoding]
        found |= {f"{ORACLE} {rule}": replace(found[ORACLE], decoding=rule) for rule in rules}
    return found


def measured(
    loaded: LoadedModel, profiles: Mapping[str, Profile], wanted: Sequence[Case], seed: int
) -> tuple[int, dict[str, Row]]:
    """The number of filled holes (Ctrl-C ends it early), and the figures of each variant."""
    engines = {name: Engine(replace(loaded, profile=profile)) for name, profile in profiles.items()}
    tried: list[dict[str, Attempt]] = []
    try:
        for case in track(wanted, "Filling", console=Console(stderr=True)):
            tried.append(_attempts(engines, case, seed))
    except KeyboardInterrupt:
        pass
    if not tried:
        raise SystemExit("no hole was filled; run again with more --holes")
    done = wanted[: len(tried)]
    truth = [attempts["truth"].length for attempts in tried]
    return len(done), {name: _row(done, [attempts[name] for attempts in tried], truth) for name in tried[0]}


def _attempts(engines: Mapping[str, Engine], case: Case, seed: int) -> dict[str, Attempt]:
    attempts: dict[str, Attempt] = {}
    for name, engine in engines.items():
        request = request_of(engine.profile, case, seed, oracle_length=name.startswith(ORACLE))
        *_, infill = engine.infill(request)
        assert isinstance(infill, Infill)
        attempts[name] = _attempt(engine, request, infill.texts[0], infill)
    return {"truth": _attempt(engine, request, case.answer, None)} | attempts


def _attempt(engine: Engine, request: InfillRequest, text: str, infill: Infill | None) -> Attempt:
    before, _, after = request.segments
    assert isinstance(before, Pinned)
    assert isinstance(after, Pinned)
    whole = f"{text}\n"  # so that there is something to score
    [scored] = engine.scores(ScoreRequest(request.context, before.text, (whole,), after.text.removeprefix("\n")))
    return Attempt(text, infill, engine.count(text), scored.nats / len(scored.tokens))


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
    table = Table("variant", *(name.replace("_", " ") for name in Row.__slots__))
    for name, row in rows.items():
        table.add_row(name, *(f"{getattr(row, figure):g}" for figure in Row.__slots__))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--holes", type=int, default=60)
    parser.add_argument("--model", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these variants")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(options.model, "cpu")
    profiles = variants(loaded.profile)
    unknown = set(options.only or ()) - profiles.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; the variants are {', '.join(profiles)}")
    chosen = {name: profile for name, profile in profiles.items() if name in (options.only or profiles)}
    wanted = cases([Source("", "", "", text) for text in held_out_texts()], options.holes, options.seed)
    holes, rows = measured(loaded, chosen, wanted, options.seed)
    Console(stderr=True, width=140).print(table_of(rows))
    figures = {name: asdict(row) for name, row in rows.items()}
    print(json.dumps({"bench": "lengths", "model": loaded.info.name, "holes": holes, "policies": figures}))


if __name__ == "__main__":
    main()
