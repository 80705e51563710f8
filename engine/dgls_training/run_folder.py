"""What a run keeps in its folder: `checkpoint.pt`, which is replaced as a whole, and `log.jsonl`, one record a line.

A run that is killed at any time resumes from the last checkpoint. Knows neither models nor objectives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_CHECKPOINT, _LOG = "checkpoint.pt", "log.jsonl"


def exists(run: Path) -> bool:
    return (run / _CHECKPOINT).exists()


def save(run: Path, state: Mapping[str, Any]) -> None:
    partial = run / "checkpoint.partial"
    torch.save(dict(state), partial)
    partial.replace(run / _CHECKPOINT)


def load(run: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run / _CHECKPOINT, map_location=device, weights_only=True)
    return state


def log(run: Path, record: Mapping[str, Any]) -> None:
    with (run / _LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def records(run: Path) -> list[dict[str, Any]]:
    """All records of a run's log, the oldest first; none before the first report."""
    path = run / _LOG
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def last_record(run: Path) -> dict[str, Any]:
    return records(run)[-1]


def rewind(run: Path, step: int) -> None:
    """Drop the records after `step`: a run that was killed trains these steps again."""
    lines = [json.dumps(record) + "\n" for record in records(run) if record["step"] <= step]
    partial = run / "log.partial"
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(run / _LOG)
