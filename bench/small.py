"""Compares the small model with what it is made of, with its true length, and with the tiny model, on the same lines.

    python bench/small.py (--dataset FILE | --source DIR) [--holes 60] [--threads 2]

    untouched, before only  the base without the adapter, which decides one token after the other and sees no code after
    untouched               the same, which sees the code after the hole
    small                   the product
    small, true length      the product, told how many tokens the author's line has
    embedded                the tiny model

All take the product's path (plan, infill, suggestion) and turns. Exact: the author's line, without blanks at its end.
pass@1: the problem's tests pass. `only this`, `only small`: lines that this one, or the small model, has right alone.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.lines import add_arguments, chosen, interleaved, name_of
from dgls.evaluation.cases.case import Case, CaseOutcome
from dgls.evaluation.report.metrics import Share, summarise
from dgls.evaluation.running import sandbox
from dgls.evaluation.running.run_case import Conditions, run_case
from dgls.suggest.exchange import Infiller
from dgls_engine import Engine
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken, Hole, Infill, InfillRequest, Step
from dgls_engine.weights.auto import EMBEDDED
from dgls_engine.weights.hub import locate
from dgls_engine.weights.small import SMALL

ADAPTER = "adapter.safetensors"
ONE_BY_ONE = {"unmask_threshold": 1.0}
"""No token is likelier, so each token is chosen after all tokens before it."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to fill a line. `engine` counts the tokens of its own vocabulary."""

    engine: Engine
    true_length: bool = False
    sees_after: bool = True

    def __call__(self, case: Case) -> CaseOutcome:
        infiller: Infiller = self.engine if self.sees_after else BeforeOnly(self.engine)
        return run_case(infiller, case, self.engine.count, Conditions(true_length=self.true_length))


class BeforeOnly:
    """A `run_case.Infiller` that hides the code after the hole from its engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    @property
    def profile(self) -> Profile:
        return self._engine.profile

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        hole = next(place for place, segment in enumerate(request.segments) if isinstance(segment, Hole))
        context = replace(request.context, below="")
        yield from self._engine.infill(replace(request, context=context, segments=request.segments[: hole + 1]), cancel)


def without_adapter(folder: Path, model: Path) -> Path:
    """A folder with the files of `model`, but not its adapter."""
    for file in model.iterdir():
        if file.name != ADAPTER:
            (folder / file.name).symlink_to(file)
    return folder


def tested(case: Case, outcome: CaseOutcome) -> CaseOutcome:
    """With the result of the case's tests, if it has some. Without a suggestion they count as failed."""
    if case.program is None:
        return outcome
    if outcome.rejected is not None:
        return replace(outcome, passed=False)
    source, tests = case.prefix + outcome.text + case.suffix, case.program.tests
    return replace(outcome, passed=sandbox.run_program(source, tests, sandbox.ProgramLimits()).passed)


def figures(outcomes: Sequence[CaseOutcome], small: Sequence[CaseOutcome]) -> dict[str, float | int | None]:
    summary = summarise(outcomes)
    pairs = [(one.exact, other.exact) for one, other in zip(outcomes, small, strict=True)]
    return {
        "exact": _value(summary.exact),
        "pass@1": _value(summary.passed),
        "similarity": _rounded(summary.similarity),
        "only this": sum(one and not other for one, other in pairs),
        "only small": sum(other and not one for one, other in pairs),
        "shown": _value(summary.shown),
        "shown exact": _value(summary.shown_exact),
        "repeats after": summary.repeats_after.count,
        "breaks": summary.parses.total - summary.parses.count,
        "steps": _rounded(summary.steps, 2),
    }


def table_of(rows: Mapping[str, Mapping[str, float | int | None]]) -> Table:
    table = Table("", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *("" if figure is None else f"{figure:g}" for figure in row.values()))
    return table


def _value(share: Share) -> float | None:
    return _rounded(share.value)


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, holes=60)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    cases, console = chosen(options), Console(stderr=True, width=160)
    with ExitStack() as opened:
        folder = without_adapter(Path(opened.enter_context(tempfile.TemporaryDirectory())), locate(SMALL))
        base = opened.enter_context(Engine.open(folder, "cpu", threads=options.threads, overrides=ONE_BY_ONE))
        small = opened.enter_context(Engine.open(SMALL, "cpu"))
        embedded = opened.enter_context(Engine.open(EMBEDDED, "cpu"))
        variants = {
            "untouched, before only": Variant(base, sees_after=False),
            "untouched": Variant(base),
            SMALL: Variant(small),
            "small, true length": Variant(small, true_length=True),
            EMBEDDED: Variant(embedded),
        }
        outcomes: dict[str, list[CaseOutcome]] = {name: [] for name in variants}
        for turn, case in enumerate(track(cases, "Filling", console=console)):
            for name in interleaved(list(variants), turn):
                outcomes[name].append(tested(case, variants[name](case)))
        dtype = small.info.dtype
    rows = {name: figures(own, outcomes[SMALL]) for name, own in outcomes.items()}
    console.print(table_of(rows))
    known = {"bench": "small", "holes": len(cases), "of": name_of(options), "seed": options.seed, "dtype": dtype}
    print(json.dumps(known | {"threads": options.threads, "rows": rows}))


if __name__ == "__main__":
    main()
