"""Writes the model card of an exported model: its corpus, its training, and its held-out figures.

All figures come from the run's records; none is typed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from dgls_engine.engine import Engine
from dgls_training.corpus import Package, Source
from dgls_training.evaluate import Report, Score
from dgls_training.versions import Version, table

_CARD = """\
# The embedded model

A {parameters:.1f} M parameter `DiffusionGemmaForBlockDiffusion`, trained from scratch by `python -m dgls_training`, so
that infilling runs on any CPU. It knows Python only, takes no instructions, and fills short holes. Read the figures
before you trust it.

| | |
|---|---|
| parameters | {exact_parameters:,} ({megabytes:.1f} MB in bfloat16) |
| prompt | format `{profile.prompt_format}`, at most {profile.max_prompt_tokens} tokens |
| canvas | {profile.canvas_tokens} tokens; {profile.before_tokens} before the holes, {profile.after_tokens} after |
| hole policy | `{profile.hole_policy}`: the hole is long, and PAD fills its rest |
| trained on | {trained_on}, {minutes:.0f} minutes, {steps:,} steps, {tokens:.1f} M tokens, prompts included |
| corpus | {files:,} files, {corpus_megabytes:.0f} MB |

## Held-out figures

{holes} single-line holes in packages outside the training corpus ({held_out}). Half of the holes take a line's whole
code, half the code after a random place in a line. `python -m dgls_training evaluate` prints these figures.

| | exact match | edit similarity | exact, whole line | exact, rest of line |
|---|---|---|---|---|
{scores}

Exact match ignores trailing blanks; edit similarity is difflib's ratio. The median hole took {report.steps_p50:.0f}
steps and {report.ms_p50:.0f} ms ({report.device}).

## Versions

{versions}

## Loss during training

Held-out loss (nats for each token) and exact match are those of one decoder pass over pure noise.

| step | M tokens | training loss | held-out loss | exact in one pass |
|---|---|---|---|---|
{curve}

## Corpus, by package and licence

{packages}
"""


def write_card(
    folder: Path,
    run: Path,
    packages: Sequence[Package],
    held_out: Sequence[Source],
    report: Report,
    engine: Engine,
    versions: Sequence[Version],
) -> None:
    """Write `README.md` into the exported `folder`; `engine` is open on it."""
    history = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    text = _CARD.format(
        parameters=engine.info.parameters / 1e6,
        exact_parameters=engine.info.parameters,
        megabytes=2 * engine.info.parameters / 1e6,
        trained_on=" then ".join(dict.fromkeys(record["device"] for record in history)),
        minutes=history[-1]["seconds"] / 60,
        steps=history[-1]["step"],
        tokens=history[-1]["tokens"] / 1e6,
        files=sum(package.files for package in packages),
        corpus_megabytes=sum(package.characters for package in packages) / 1e6,
        holes=report.scores["trained"].holes,
        held_out=", ".join(sorted({source.package for source in held_out})),
        scores="\n".join(_score_row(name, values) for name, values in report.scores.items()),
        curve="\n".join(_curve_row(record) for record in _thinned(history)),
        packages=_packages(packages),
        versions=table(versions),
        profile=engine.profile,
        report=report,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _score_row(name: str, score: Score) -> str:
    values = (score.exact_match, score.edit_similarity, score.whole_line, score.rest_of_line)
    return f"| {name} | {' | '.join(f'{100 * value:.1f} %' for value in values)} |"


def _curve_row(record: Mapping[str, float]) -> str:
    return (
        f"| {record['step']:,} | {record['tokens'] / 1e6:.1f} | {record['training_loss']:.2f} | "
        f"{record['held_out_loss']:.2f} | {100 * record['held_out_exact_one_pass']:.1f} % |"
    )


def _thinned(history: Sequence[Mapping[str, float]], rows: int = 12) -> list[Mapping[str, float]]:
    every = max(1, len(history) // rows)
    return [record for index, record in enumerate(history) if index % every == 0 or index == len(history) - 1]


def _packages(packages: Sequence[Package]) -> str:
    rows = [f"| {package.name} | {package.licence} | {package.characters / 1e6:.2f} |" for package in packages]
    return "\n".join(["| package | licence | MB |", "|---|---|---|", *rows])
