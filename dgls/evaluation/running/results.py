"""A run's outcomes on disk, as JSON lines: a header with all that they depend on, then one outcome a line.

An interrupted run resumes where it ended if the header is equal. An incomplete last line is dropped. Knows files, not
models; one run at a time writes a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from cattrs import ClassValidationError, Converter
from platformdirs import user_cache_path

from dgls.errors import DglsError
from dgls.evaluation.cases.case import Case, CaseOutcome

_FORMAT = 2
_CONVERTER = Converter(forbid_extra_keys=True)


class UnusableResults(DglsError):
    """The results file belongs to another run or cannot be read or written; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Header:
    """All that the outcomes depend on, except the machine's rounding.

    `weights` and `cases` are fingerprints; `profile` is the effective one, with overrides and calibration.
    """

    model: str
    weights: str
    device: str
    dtype: str
    policy: str
    profile: Mapping[str, Any]
    seed: int
    max_steps: int | None
    cases: str
    version: str
    format: int = _FORMAT

    def __post_init__(self) -> None:
        object.__setattr__(self, "profile", json.loads(json.dumps(self.profile)))

    @property
    def digest(self) -> str:
        return _digest([json.dumps(asdict(self), sort_keys=True)])


class Results:
    """An open results file. `outcomes` maps case ids to the outcomes in the file."""

    def __init__(self, path: Path, header: Header) -> None:
        """Raises `UnusableResults`."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.outcomes, end = read(path, header) if path.is_file() and path.stat().st_size else ({}, 0)
            self._file: TextIO = path.open("a", encoding="utf-8")
            self._file.truncate(end)
        except OSError as error:
            raise UnusableResults(f"{path} cannot be used for results: {error.strerror or error}") from None
        if not end:
            self._write(asdict(header))

    def add(self, outcome: CaseOutcome) -> None:
        self.outcomes[outcome.id] = outcome
        self._write(asdict(outcome))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def default_path(header: Header) -> Path:
    """One file for each header, in the user's cache folder."""
    return user_cache_path("dgls", appauthor=False) / "evaluation" / f"{header.digest[:16]}.jsonl"


def read(path: Path, header: Header) -> tuple[dict[str, CaseOutcome], int]:
    """The outcomes in a results file and the bytes of its whole lines. Raises `UnusableResults` if it is no results
    file, or one with another header."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    first, *lines = content[:end].split(b"\n")[:-1] or [content]
    try:
        stored = json.loads(first)
        if not isinstance(stored, dict) or stored.get("format") != _FORMAT:
            raise ValueError("no header")
        outcomes = [_CONVERTER.structure(json.loads(line), CaseOutcome) for line in lines]
    except (ValueError, TypeError, ClassValidationError):
        raise UnusableResults(f"{path} is no results file of this version; name another file") from None
    fields = asdict(header)
    differing = sorted(name for name in fields if fields[name] != stored.get(name))
    if differing:
        raise UnusableResults(
            f"{path} holds results of another run (it differs in {', '.join(differing)}); name another file"
        )
    return {outcome.id: outcome for outcome in outcomes}, end


def fingerprint_of_cases(cases: Iterable[Case]) -> str:
    return _digest(json.dumps(asdict(case) | {"root": None}, sort_keys=True) for case in cases)


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
