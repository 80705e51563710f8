"""`dgls calibrate`: fit a model's confidence to the user's own code.

Cuts holes into the code, fills them, and stores a calibration that the model uses from its next load on. The table
measures the new calibration on fills that it was not fitted to. Ctrl-C stores nothing. The table goes to stdout, the
progress to stderr. `--from-log` fits it to the suggestions that the user took instead, and runs no model.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dgls.cli.models import UnloadedModel, unloaded
from dgls.errors import DglsError
from dgls.evaluation.cases.case import Case, CaseOutcome, Kind
from dgls.evaluation.cases.cutting import cut
from dgls.evaluation.cases.provenance import trained_on
from dgls.evaluation.report.metrics import Share, show_curve, suggestions, summarise
from dgls.evaluation.running.acceptance_fit import figures, refit
from dgls.evaluation.running.calibration_fit import (
    LEAST_FILLS,
    LEAST_LINES,
    FilledCase,
    fill_case,
    fit,
    held_out,
    judged,
)
from dgls.evaluation.running.run_case import Conditions, Count
from dgls.suggest.exchange import Infiller
from dgls_engine.calibration import Calibration
from dgls_engine.weights import saved_calibration
from dgls_engine.weights.accept_log import AcceptLog
from dgls_engine.weights.saved_calibration import own_calibration

KINDS: tuple[Kind, ...] = ("single-line", "multi-line")
"""The kinds of places with automatic suggestions: not inside words or lines."""
_SHOW_RATES = 10


@dataclass(frozen=True, slots=True)
class Result:
    """`before`: the fills judged by the calibration in use; `after`: by one that was not fitted to them."""

    calibration: Calibration
    replaced: Calibration
    before: tuple[CaseOutcome, ...]
    after: tuple[CaseOutcome, ...]
    lines: int


def run(options: Namespace) -> int:
    model = unloaded(options.model)
    if options.reset:
        return _reset(model.name, model.folder)
    if options.from_log:
        return _learn(options, model)
    source = Path(options.source)
    cases = cut(source, options.seed, options.holes, KINDS, exclude=trained_on(model.folder))
    if len(cases) < LEAST_FILLS:
        raise DglsError(_too_few(f"{source} has room for {len(cases)} holes"))
    from dgls_engine import Engine  # takes seconds; mistakes in the arguments are reported before
    from dgls_engine.device import spare_threads

    threads = options.threads or spare_threads()
    with Engine.open(model.name, dtype=options.dtype, threads=threads) as engine:
        # --ship compares with the shipped calibration, even if a calibration of the user's is in use.
        replaced = model.profile.calibration if options.ship else engine.profile.calibration
        fills = _filled(engine, cases, model.count, Conditions(options.seed, unasked=True))
    result = calibrated(fills, options.show, replaced)
    console = Console(highlight=False, stderr=options.json)
    console.print(table_of(result))
    for remark in remarks(result):
        console.print(remark, soft_wrap=True)
    stored = None if options.dry_run else _store(result.calibration, model.folder, options.ship)
    _tell(console, stored, options.ship, model.name, model.folder)
    if options.json:
        print(json.dumps(as_json(result, stored)))
    return 0


def _learn(options: Namespace, model: UnloadedModel) -> int:
    log = AcceptLog(model.folder)
    samples = [(each.probability, each.taken) for each in log.outcomes()]
    if len(samples) < LEAST_FILLS:
        raise DglsError(
            f"the log {log.path} holds {len(samples)} of the {LEAST_FILLS} suggestions that a calibration needs; "
            "the setting dgls.inlineCompletion.acceptLog keeps it as you work"
        )
    before = own_calibration(model.folder) or model.profile.calibration
    calibration, found = refit(samples, options.show, before), figures(samples, options.show, before)
    console = Console(highlight=False, stderr=options.json)
    console.print(
        f"You took {_percent(found.taken)} of {len(samples)} suggestions. From now on {_percent(found.shown)} of such "
        f"would be shown; you took {_percent(found.shown_taken)} of these.",
        soft_wrap=True,
    )
    stored = None if options.dry_run else _store(calibration, model.folder, options.ship)
    _tell(console, stored, options.ship, model.name, model.folder)
    if options.json:
        shares = {name: getattr(found, name).value for name in ("taken", "shown", "shown_taken")}
        print(json.dumps({"n": len(samples), **shares, **_stored(calibration, stored)}))
    return 0


def calibrated(fills: Sequence[FilledCase], least_shown: float, replaced: Calibration) -> Result:
    """Raises `DglsError` if too few of the fills are suggestions."""
    made = len(suggestions([each.outcome for each in fills]))
    if made < LEAST_FILLS:
        raise DglsError(_too_few(f"the model made {made} suggestions for {len(fills)} holes"))
    return Result(
        fit(fills, least_shown, replaced),
        replaced,
        tuple(judged(each.outcome, replaced) for each in fills),
        tuple(held_out(fills, least_shown, replaced)),
        sum(len(each.lines) for each in fills),
    )


def table_of(result: Result) -> Table:
    before, after = summarise(result.before), summarise(result.after)
    title = f"{before.n} holes, {before.suggested.count} suggestions, {_percent(before.exact)} of the holes exact"
    table = Table("", "before", "now", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row(
        "expected calibration error",
        *("-" if error is None else f"{error:.3f}" for error in (before.calibration_error, after.calibration_error)),
    )
    table.add_row("shown automatically", _percent(before.shown), _percent(after.shown))
    table.add_row("of these, exact", _percent(before.shown_exact), _percent(after.shown_exact), end_section=True)
    both = result.replaced, result.calibration
    table.add_row("shown from confidence", *(f"{each.show_above:.3f}" for each in both))
    table.add_row("later lines kept from", *(f"{each.keep_above:.3f}" for each in both), end_section=True)
    for point in show_curve(result.after, _SHOW_RATES):
        table.add_row(f"if {_percent(point.shown, 0)} were shown", "", f"{_percent(point.exact)} exact")
    return table


def remarks(result: Result) -> list[str]:
    lines = ['The figures under "now" come from fills that the calibration was not fitted to (five folds).']
    if result.lines < LEAST_LINES:
        lines.append(f"Too few fills of several lines to fit which lines are kept ({result.lines} later lines).")
    if not any(outcome.shown for outcome in result.after):
        lines.append("No suggestion would be automatic, because no confidence is high enough. --show SHARE shows more.")
    return lines


def as_json(result: Result, stored: Path | None) -> dict[str, Any]:
    def figures(outcomes: Sequence[CaseOutcome]) -> dict[str, float | None]:
        summary = summarise(outcomes)
        return {
            "calibration_error": summary.calibration_error,
            "shown": summary.shown.value,
            "shown_exact": summary.shown_exact.value,
        }

    return {
        "n": len(result.before),
        "exact_match": summarise(result.before).exact.value,
        "before": figures(result.before),
        "after": figures(result.after),
        "show_curve": [[point.shown.value, point.exact.value] for point in show_curve(result.after, _SHOW_RATES)],
        **_stored(result.calibration, stored),
    }


def _stored(calibration: Calibration, stored: Path | None) -> dict[str, Any]:
    return {"calibration": calibration.as_json(), "stored": None if stored is None else str(stored)}


def _filled(engine: Infiller, cases: Sequence[Case], count: Count, conditions: Conditions) -> list[FilledCase]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    fills: list[FilledCase] = []
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            for case in progress.track(cases, description="filling"):
                fills.append(fill_case(engine, case, count, conditions))
    except KeyboardInterrupt:
        print("Interrupted; nothing was stored.", file=sys.stderr)
        raise
    return fills


def _store(calibration: Calibration, folder: Path, ship: bool) -> Path:
    return saved_calibration.ship(calibration, folder) if ship else saved_calibration.save(calibration, folder)


def _tell(console: Console, stored: Path | None, ship: bool, model: str, folder: Path) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    if stored is None:
        say("Nothing was stored.")
        return
    say(f"Stored in {stored}; the model uses it from its next load on.")
    if not ship:
        say(f"`dgls calibrate --reset --model {model}` undoes it.")
    elif saved_calibration.path_of(folder).exists():
        say(f"Your own calibration still overrides it; `dgls calibrate --reset --model {model}` removes yours.")


def _reset(model: str, folder: Path) -> int:
    removed = saved_calibration.remove(folder)
    print(f"Removed {removed}." if removed else f"There is no calibration of your own for {model}.")
    return 0


def _too_few(reason: str) -> str:
    return f"{reason}, and a calibration needs {LEAST_FILLS}; name a folder with more code, or raise --holes"


def _percent(share: Share, digits: int = 1) -> str:
    return "none" if share.value is None else f"{share.value * 100:.{digits}f} %"
