"""A log of which suggestions of a model the user took: one JSON line each, in the user's data folder.

It holds figures and never code, is readable by its owner alone, and goes nowhere. `dgls calibrate --from-log` reads it.
As with a calibration, the file's name ends in a fingerprint of the model. Full files are rotated, so the log stays
below 2 MB. Any thread; blocks for the disk. Several processes may append at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_data_path

from dgls_engine.errors import EngineError
from dgls_engine.weights.saved_calibration import fingerprint, label

_FULL = 10**6
"""Bytes; some 10,000 suggestions."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A suggestion that was shown: the probability of its text, from 0 to 1, and whether the user took all of it.
    `time` is in seconds since 1970; `language` is the LSP language id."""

    time: int
    language: str
    lines: int
    probability: float
    taken: bool


class AcceptLog:
    """The log of the model in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.path = log_folder() / f"{label(folder)}-{fingerprint(folder)}.jsonl"

    def append(self, outcome: Outcome) -> None:
        """Raises `OSError`."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            if self.path.stat().st_size >= _FULL:
                self.path.replace(self._older)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def outcomes(self) -> list[Outcome]:
        """All outcomes, the oldest first. Lines that are no outcome are skipped. Raises `EngineError` if a file cannot
        be read."""
        return [outcome for path in (self._older, self.path) for outcome in _read(path)]

    @property
    def _older(self) -> Path:
        return self.path.with_suffix(".old.jsonl")


def log_folder() -> Path:
    return user_data_path("dgls", appauthor=False) / "accepted"


def _read(path: Path) -> Iterator[Outcome]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if (outcome := _outcome(line)) is not None:
                    yield outcome
    except FileNotFoundError:
        return
    except OSError as error:
        raise EngineError(f"{path} cannot be read ({error.strerror}); check its permissions") from None


def _outcome(line: str) -> Outcome | None:
    """None for a line that was cut off, or written by another version."""
    try:
        outcome = Outcome(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = (outcome.time, outcome.lines, outcome.probability)
    sound = all(type(number) in (int, float) for number in numbers) and 0 <= outcome.probability <= 1
    return outcome if sound and type(outcome.taken) is bool else None
