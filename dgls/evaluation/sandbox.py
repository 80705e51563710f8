"""Run a program that nobody has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal["passed", "failed", "exited", "crashed", "time", "memory", "output", "processes"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one program. `seconds` by the clock, `cpu_seconds` of one process; bytes of memory, of one file, of output;
    processes at once, open files."""

    seconds: float = 20.0
    cpu_seconds: int = 5
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    output_bytes: int = 1 << 20
    processes: int = 16
    open_files: int = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a program; `detail` is the last line that it wrote to stderr, "" if none."""

    passed: bool
    reason: Reason
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Containment:
    """What holds a program here; False: the OS does not allow it."""

    no_network: bool
    own_processes: bool
    read_only_files: bool

    def __str__(self) -> str: ...  # type: ignore[empty-body]


def containment() -> Containment:
    """Probes once. Raises `SandboxUnavailable` on Windows."""
    raise NotImplementedError


def run_program(source: str, limits: Limits) -> Verdict:
    """Runs on the calling thread, several at once if called so. Raises `SandboxUnavailable` on Windows."""
    raise NotImplementedError
