"""A run's report: its outcomes and all that they depend on; and the report as JSON.

Plain values; `table` and `page` show the same figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dgls.evaluation.cases.case import Case, CaseOutcome
from dgls.evaluation.report.metrics import (
    Bin,
    Share,
    ShowPoint,
    Summary,
    by_kind,
    by_length,
    reliability,
    show_curve,
    summarise,
)
from dgls.evaluation.running.results import Header


@dataclass(frozen=True, slots=True)
class Report:
    """`source` describes where the cases come from; `cases` are all cases of the run, by id."""

    header: Header
    device_name: str
    source: str
    cases: Mapping[str, Case]
    outcomes: tuple[CaseOutcome, ...]
    results: str

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == len(self.cases)


def as_json(report: Report) -> dict[str, Any]:
    summary = summarise(report.outcomes)
    return {
        **_figures(summary),
        "model": report.header.model,
        "device": report.header.device,
        "policy": report.header.policy,
        "seed": report.header.seed,
        "cases": report.source,
        "complete": report.complete,
        "intervals": _intervals(summary),
        "by_length": {name: _figures(each) for name, each in by_length(report.outcomes).items()},
        "by_kind": {name: _figures(each) for name, each in by_kind(report.outcomes).items()},
        "reliability": [_bin(each) for each in reliability(report.outcomes)],
        "show_curve": [_point(each) for each in show_curve(report.outcomes)],
        "results": report.results,
    }


def _figures(summary: Summary) -> dict[str, float | None]:
    return {
        "n": summary.n,
        **{name: _rounded(share.value) for name, share in _shares(summary).items()},
        "edit_similarity": _rounded(summary.similarity),
        "calibration_error": _rounded(summary.calibration_error),
        "steps": _rounded(summary.steps),
        "passes": _rounded(summary.passes),
        "p50_ms": _rounded(summary.p50_ms, 1),
        "p90_ms": _rounded(summary.p90_ms, 1),
    }


def _intervals(summary: Summary) -> dict[str, list[float | None] | None]:
    return {
        name: None if share.interval is None else [_rounded(end) for end in share.interval]
        for name, share in _shares(summary).items()
    }


def _shares(summary: Summary) -> dict[str, Share]:
    return {
        "pass_at_1": summary.passed,
        "exact_match": summary.exact,
        "suggested": summary.suggested,
        "parses": summary.parses,
        "repeats_after": summary.repeats_after,
        "raw_repeats_after": summary.raw_repeats_after,
        "shown": summary.shown,
        "shown_exact": summary.shown_exact,
    }


def _bin(group: Bin) -> dict[str, float | None]:
    return {"confidence": _rounded(group.confidence), "exact": _rounded(group.right.value), "n": group.right.total}


def _point(point: ShowPoint) -> dict[str, float | None]:
    return {
        "threshold": _rounded(point.threshold, 6),
        "shown": _rounded(point.shown.value),
        "exact": _rounded(point.exact.value),
    }


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
