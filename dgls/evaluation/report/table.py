"""A run's figures as a table for the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dgls.evaluation.report.metrics import Share, Summary, by_kind, by_length, summarise
from dgls.evaluation.report.report import Report

_COLUMNS = (
    *("holes", "pass\n@1", "exact", "simi-\nlar", "parses", "re-\npeats", "shown", "of them\nexact", "steps"),
    *("p50\nms", "p90\nms"),
)
"""Headings in two lines, to keep the table within 80 columns."""


def table_of(report: Report) -> Group:
    """Figures of all holes, then by length and by kind if there are several, with remarks below."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("shares\nin %")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    whole = summarise(report.outcomes)
    table.add_row("all", *_cells(whole), style="bold")
    lengths, kinds = by_length(report.outcomes), by_kind(report.outcomes)
    groups = [(f"{name} tokens", each) for name, each in lengths.items()] if len(lengths) > 1 else []
    groups += list(kinds.items()) if len(kinds) > 1 else []
    for name, summary in groups:
        table.add_row(name, *_cells(summary))
    return Group(table, Text(), *(Text(line, "dim") for line in _remarks(report, whole)))


def _cells(summary: Summary) -> list[str]:
    return [
        str(summary.n),
        *map(_percent, (summary.passed, summary.exact)),
        "-" if summary.similarity is None else f"{summary.similarity:.3f}",
        *map(_percent, (summary.parses, summary.repeats_after, summary.shown, summary.shown_exact)),
        "-" if summary.steps is None else f"{summary.steps:.1f}",
        *("-" if each is None else f"{each:.0f}" for each in (summary.p50_ms, summary.p90_ms)),
    ]


def _remarks(report: Report, whole: Summary) -> list[str]:
    header = report.header
    lines = [f"{header.model} on {report.device_name}, {header.dtype}, policy {header.policy}, seed {header.seed}"]
    lines.append(report.source)
    for name, share in (("pass@1", whole.passed), ("exact", whole.exact)):
        if share.interval is not None:
            low, high = share.interval
            lines.append(f"{name}: {share.count} of {share.total}, 95 % between {low * 100:.1f} and {high * 100:.1f} %")
    if whole.calibration_error is not None:
        lines.append(f"expected calibration error: {whole.calibration_error:.3f} (10 bins of equal mass)")
    if not report.complete:
        lines.append(f"cut off after {whole.n} of {len(report.cases)} holes; the same command goes on from there")
    return lines


def _percent(share: Share) -> str:
    return "-" if share.value is None else f"{share.value * 100:.1f}"
