"""The table of the embedded model's versions: their training and their figures.

`evaluate --version` adds a row. `humaneval_pass` is the figure in the last line of `dgls eval`, entered by hand.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FILE = Path("engine/dgls_engine/models/versions.json")


@dataclass(frozen=True, slots=True)
class Version:
    """`tokens`: all training tokens, with prompts. Shares from 0 to 1: `held_out_exact` of single-line holes in
    held-out packages, `humaneval_pass` of HumanEval-Infilling's single lines (None: not run)."""

    name: str
    parameters: int
    tokens: int
    held_out_exact: float
    humaneval_pass: float | None = None


def load(path: Path = FILE) -> list[Version]:
    return [Version(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def record(version: Version, path: Path = FILE) -> None:
    """Add a version, or replace the one with the same name; a HumanEval figure is kept if the new version has none."""
    rows = load(path) if path.exists() else []
    for row in rows:
        if row.name == version.name and version.humaneval_pass is None:
            version = replace(version, humaneval_pass=row.humaneval_pass)
    rows = [row for row in rows if row.name != version.name]
    text = json.dumps([asdict(row) for row in [*rows, version]], indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def table(versions: Sequence[Version]) -> str:
    """The versions as a Markdown table."""
    head = "| version | parameters | M tokens | held-out exact match | HumanEval single line, pass@1 |"
    rows = [
        f"| {row.name} | {row.parameters:,} | {row.tokens / 1e6:.1f} | {_percent(row.held_out_exact)} | "
        f"{_percent(row.humaneval_pass)} |"
        for row in versions
    ]
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def _percent(share: float | None) -> str:
    return "not run" if share is None else f"{100 * share:.1f} %"
