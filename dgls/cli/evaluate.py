"""`dgls eval`: fill holes whose content is known, and report how many come out right.

Reports mistakes in the arguments before the model loads. The figures go to stdout, the progress to stderr. Ctrl-C ends
a run and reports its outcomes so far; they are stored, so the same command resumes there.
"""

from __future__ import annotations

import json
import random
from argparse import Namespace
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dgls.cli.models import unloaded
from dgls.errors import DglsError
from dgls.evaluation.cases.case import Case, CaseOutcome, Kind
from dgls.evaluation.cases.cutting import CUT_KINDS, cut
from dgls.evaluation.cases.dataset import read_dataset
from dgls.evaluation.cases.fixtures import fixture_cases
from dgls.evaluation.cases.provenance import trained_on
from dgls.evaluation.report.page import page_of
from dgls.evaluation.report.report import Report, as_json
from dgls.evaluation.report.table import table_of
from dgls.evaluation.running import sandbox
from dgls.evaluation.running.results import Header, Results, default_path, fingerprint_of_cases
from dgls.evaluation.running.run import evaluate
from dgls.evaluation.running.run_case import Conditions
from dgls.suggest.exchange import Infiller
from dgls_engine.profile import HolePolicy, Profile
from dgls_engine.weights.saved_calibration import fingerprint

if TYPE_CHECKING:
    from dgls_engine import Engine
    from dgls_engine.peer import Peer

ORACLE = "oracle"
"""The policy that knows the true length; only for evaluations."""
CUT = 200
"""Holes cut into a folder without --limit."""
INTERRUPTED = 130


def run(options: Namespace) -> int:
    page = _page(options.report)
    kinds = _kinds(options.kinds)
    overrides = _overrides(options)
    model = unloaded(options.model)
    folder = model.folder
    source, cases = _cases(options, kinds, folder)
    if any(case.program is not None for case in cases):
        held = sandbox.containment()  # raises if programs cannot run here
        if not held.complete:
            Console(stderr=True).print(f"The sandbox of the tests: {held}", highlight=False, soft_wrap=True)
    wanted = _drawn(cases, options.seed, options.limit)
    with _opened(options, folder, overrides) as engine:
        header = _header(engine, options, fingerprint(folder), fingerprint_of_cases(cases))
        path = Path(options.results) if options.results else default_path(header)
        with Results(path, header) as results:
            conditions = Conditions(options.seed, options.steps, options.policy == ORACLE)
            stream = evaluate(engine, wanted, model.count, conditions, _passes, results, options.jobs)
            outcomes = _watched(stream, len(wanted))
    report = Report(header, engine.info.device_name, source, {case.id: case for case in wanted}, outcomes, str(path))
    _tell(report, page, options.json)
    return 0 if report.complete else INTERRUPTED


def _opened(options: Namespace, folder: Path, overrides: dict[str, Any]) -> Engine | Peer:
    """The model, or an autoregressive one to compare it with."""
    # Importing torch takes seconds; mistakes in the arguments are reported before.
    from dgls_engine import Engine
    from dgls_engine.device import spare_threads
    from dgls_engine.peer import Peer, is_peer

    threads = options.threads or spare_threads()
    if not is_peer(folder):
        return Engine.open(options.model, dtype=options.dtype, threads=threads, overrides=overrides)
    if options.policy is not None:
        raise DglsError(f"{folder} holds an autoregressive model, which finds a hole's end itself; leave --policy out")
    return Peer.open(folder, threads=threads, overrides=overrides)


def _page(name: str | None) -> Path | None:
    if name is None:
        return None
    path = Path(name)
    if not path.parent.is_dir():
        raise DglsError(f"{path.parent} is no folder; choose where the page goes")
    if path.is_dir():
        raise DglsError(f"{path} is a folder; name the page's file")
    return path


def _kinds(names: Sequence[str] | None) -> tuple[Kind, ...] | None:
    known: tuple[Kind, ...] = get_args(Kind)
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise DglsError(f"there are no holes of kind {', '.join(unknown)}; choose from {', '.join(known)}")
    return tuple(kind for kind in known if kind in names) if names else None


def _overrides(options: Namespace) -> dict[str, Any]:
    """Values that override the model's profile, from --set and --policy."""
    values = dict(options.set)
    settable = [field.name for field in fields(Profile) if field.name != "calibration"]
    for name in values:
        if name not in settable:
            raise DglsError(f"a model's profile has no {name!r}; --set takes {', '.join(settable)}")
    policies = get_args(HolePolicy)
    if options.policy == ORACLE:
        values["hole_policy"] = "fixed"
    elif options.policy is not None:
        if options.policy not in policies:
            raise DglsError(f"there is no policy {options.policy!r}; take one of {', '.join((*policies, ORACLE))}")
        values["hole_policy"] = options.policy
    return values


def _cases(options: Namespace, kinds: tuple[Kind, ...] | None, folder: Path) -> tuple[str, list[Case]]:
    """A description of the cases' source, and the cases. Skips packages that the model was trained on."""
    if options.source is not None:
        source = Path(options.source)
        available = cut(source, options.seed, options.limit or CUT, kinds or CUT_KINDS, exclude=trained_on(folder))
        where = f"holes cut into {source}"
    elif options.fixtures:
        from dgls.cli.demo import examples  # imports torch

        available = fixture_cases(examples())
        where = "fixtures"
    else:
        available = read_dataset(Path(options.dataset))
        where = Path(options.dataset).name
    cases = [case for case in available if kinds is None or case.kind in kinds]
    if not cases:
        raise DglsError(f"{where} has no hole of kind {', '.join(kinds or get_args(Kind))}; choose other --kinds")
    return where, cases


def _drawn(cases: list[Case], seed: int, limit: int | None) -> list[Case]:
    """A random sample in the original order. A higher limit with the same seed takes the same cases and more."""
    order = list(range(len(cases)))
    random.Random(seed).shuffle(order)
    return [cases[at] for at in sorted(order[:limit])]


def _header(engine: Infiller, options: Namespace, weights: str, cases: str) -> Header:
    info, profile = engine.info, engine.profile
    return Header(
        model=info.name,
        weights=weights,
        device=info.device,
        dtype=info.dtype,
        policy=ORACLE if options.policy == ORACLE else profile.hole_policy,
        profile=asdict(profile),
        seed=options.seed,
        max_steps=options.steps,
        cases=cases,
        version=_version(),
    )


def _version() -> str:
    try:
        return version("dgls")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0"


def _passes(source: str, tests: str) -> bool:
    return sandbox.run_program(source, tests, sandbox.ProgramLimits()).passed


def _watched(stream: Generator[CaseOutcome], total: int) -> tuple[CaseOutcome, ...]:
    """Collect the outcomes and show the running score. Ctrl-C ends the run with the outcomes so far."""
    outcomes: list[CaseOutcome] = []
    score = _Score()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with closing(stream), Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(str(score), total=total)
        try:
            for outcome in stream:
                outcomes.append(outcome)
                score.add(outcome)
                progress.update(task, completed=len(outcomes), description=str(score))
        except KeyboardInterrupt:
            progress.update(task, description="ending")
    return tuple(outcomes)


@dataclass(slots=True)
class _Score:
    """Running counts, because `summarise` would sort all outcomes each time."""

    n: int = 0
    exact: int = 0
    tested: int = 0
    passed: int = 0

    def add(self, outcome: CaseOutcome) -> None:
        self.n += 1
        self.exact += outcome.exact
        self.tested += outcome.passed is not None
        self.passed += outcome.passed is True

    def __str__(self) -> str:
        passed = f"pass@1 {self.passed / self.tested * 100:.1f} %, " if self.tested else ""
        return f"{passed}exact {self.exact / self.n * 100:.1f} %" if self.n else "starting"


def _tell(report: Report, page: Path | None, as_object: bool) -> None:
    console = Console(highlight=False, stderr=as_object)
    if report.outcomes:
        console.print(table_of(report))
    else:
        console.print("Nothing was filled.")
    if page is not None and report.outcomes:
        try:
            page.write_text(page_of(report), encoding="utf-8")
        except OSError as error:
            raise DglsError(f"{page} cannot be written: {error.strerror or error}") from None
        console.print(f"The page is in {page}", markup=False, soft_wrap=True)
    console.print(f"The outcomes are in {report.results}", markup=False, soft_wrap=True, style="dim")
    if as_object:
        print(json.dumps(as_json(report)))
