"""Runs code that is not trusted in a sandbox, and reports whether it passes its tests.

The code runs in one process and its tests in another (`sandbox_judge`), so that the code can't reach the verdict. Both
are descendants of a child (`sandbox_child`) that confines itself where the OS allows: on Linux to namespaces, a root
folder of its own and few system calls (`sandbox_linux`). They always run under limits of time, memory, file size,
output and processes, in a temporary folder that is deleted afterwards. This module watches the limits that the OS does
not enforce, and kills every process that the code started, in any group. `Containment` lists what this machine
enforces.

Knows nothing of cases. Runs on the calling thread; several may run at once. POSIX only.
"""

from __future__ import annotations

import os
import pickle
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import psutil

from dgls.errors import SandboxUnavailable
from dgls.evaluation.running import sandbox_child
from dgls.evaluation.running.sandbox_folder import size_of, temporary_folder

Reason = Literal["passed", "failed", "exited", "crashed", "time", "memory", "output", "disk", "processes"]
Wall = Literal["namespaces", "filters"]
WALLS: tuple[Wall, ...] = get_args(Wall)

_PACKAGES = Path(__file__).parents[3]
_CHILD = """\
import sys
sys.path.insert(0, sys.argv[1])
from dgls.evaluation.running.sandbox_child import main
del sys.path[0], sys.argv[1]
main()
"""
_MARK = "DGLS_SANDBOX"
_FIRST_LOOK, _NEXT_LOOK = 0.1, 0.05  # seconds; most programs have ended before the first
_CHILD_PROCESSES = 2  # the judge and the guard
_ROUNDS = 200  # of killing the remaining processes; one is enough unless they keep forking
_TAIL, _DETAIL = 4096, 200
_EXITED = (0, sandbox_child.EXITED)


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """The limits of one program. `seconds` are wall-clock time; `cpu_seconds`, for each process, are lower, so that a
    busy machine changes no verdict. `memory_bytes` limits each process and their sum, `disk_bytes` the sum of files."""

    seconds: float = 30.0
    cpu_seconds: int = 5
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    disk_bytes: int = 64 << 20
    output_bytes: int = 1 << 20
    processes: int = 16
    open_files: int = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a program; `detail` is the last line that it or its tests wrote, or ""."""

    passed: bool
    reason: Reason
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Containment:
    """What this machine's OS enforces beside the limits: no network; no process sees others or outlives the program;
    no files but Python's libraries and a small folder."""

    network: bool
    processes: bool
    files: bool

    @property
    def complete(self) -> bool:
        return self.network and self.processes and self.files

    def __str__(self) -> str:
        parts = (
            "no network" if self.network else "THE NETWORK CAN BE REACHED",
            "a process namespace of its own" if self.processes else "processes are watched and killed one by one",
            "no files but a folder of its own" if self.files else "files CAN BE READ AND WRITTEN where the user may",
        )
        return "; ".join(parts)


@cache
def containment() -> Containment:
    """Determined once, by running an empty program. Raises `SandboxUnavailable` if that fails."""
    verdict, held = _contain("", "", ProgramLimits(), WALLS)
    if not verdict.passed:
        raise SandboxUnavailable(
            f"the sandbox does not run an empty program ({verdict.reason}: {verdict.detail}); evaluate without tests"
        )
    return Containment(
        network="network" in held or "filter" in held,
        processes="processes" in held,
        files={"root", "privileges"} <= held or "landlock" in held,
    )


def run_program(source: str, tests: str, limits: ProgramLimits, *, walls: Collection[Wall] = WALLS) -> Verdict:
    """Run Python source, then the tests that use its names, to their end or to a limit.

    The tests decide: `source` can only make them fail. An assertion in `source` itself is its own word. With fewer
    `walls`, runs as on an OS that has no others.
    """
    return _contain(source, tests, limits, walls)[0]


def _contain(source: str, tests: str, limits: ProgramLimits, walls: Collection[Wall]) -> tuple[Verdict, frozenset[str]]:
    if os.name != "posix":
        raise SandboxUnavailable("programs can't be run safely on Windows; evaluate in WSL, or without tests")
    started = time.monotonic()
    mark = secrets.token_hex(16)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        outlet, inlet = os.pipe()
        stack.callback(os.close, outlet)
        spec = {"source": source, "report": inlet, "folder": folder, "walls": tuple(walls)}
        child = stack.enter_context(_started(folder, mark, inlet))
        run = _Run(child, outlet, folder, mark, limits)
        stack.callback(run.kill)
        _tell(child, pickle.dumps(spec | asdict(limits)), tests.encode("utf-8", "surrogatepass"))
        stopped = run.watch()
    seconds = time.monotonic() - started
    return _verdict(run, stopped, seconds), run.held


@contextmanager
def _started(folder: str, mark: str, inlet: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start the child in a minimal environment, with the standard library only. Not with `-I`, which would ignore the
    fixed hash seed."""
    environment = {_MARK: mark, "HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-P", "-S", "-s", "-B", "-X", "utf8", "-c", _CHILD, str(_PACKAGES)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=environment,
        pass_fds=(inlet,),
        start_new_session=True,
    ) as child:
        os.close(inlet)  # so that reading sees the end of the pipe
        yield child


def _tell(child: subprocess.Popen[bytes], *messages: bytes) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # the child died: `watch` notices
        for message in messages:
            child.stdin.write(len(message).to_bytes(8, "big") + message)
    with suppress(BrokenPipeError):
        child.stdin.close()


class _Run:
    """One running program: reads its output and reports, watches its processes, kills them all."""

    def __init__(
        self, child: subprocess.Popen[bytes], outlet: int, folder: str, mark: str, limits: ProgramLimits
    ) -> None:
        assert child.stdout is not None
        self._child, self._process = child, psutil.Process(child.pid)
        self._output, self._outlet = child.stdout.fileno(), outlet
        self._folder, self._mark, self._limits = folder, mark, limits
        self._open = [self._output, outlet]
        self._written = 0
        self._reported = b""
        self.tail = b""

    @property
    def lines(self) -> list[str]:
        """The complete lines that the child reported."""
        return self._reported.decode("utf-8", "replace").split("\n")[:-1]

    @property
    def held(self) -> frozenset[str]:
        return frozenset(word for line in self.lines if line.startswith("holds") for word in line.split()[1:])

    @property
    def exit_code(self) -> int | None:
        """The exit code of the program's process; negative for a signal."""
        return next((int(line.split()[1]) for line in self.lines if line.startswith("ended ")), None)

    @property
    def judged(self) -> str | None:
        """Whether the tests passed, by the judge, which runs no foreign code; None if they were not completed."""
        return next((line for line in self.lines if line in ("passed", "failed")), None)

    @property
    def ended(self) -> bool:
        return self.judged is not None or self.exit_code is not None

    def watch(self) -> Reason | None:
        """Wait until the program ends (None) or exceeds a limit (the reason)."""
        now = time.monotonic()
        deadline, look = now + self._limits.seconds, now + _FIRST_LOOK
        while not self.ended and self._child.poll() is None:
            self._read(max(0.0, min(deadline, look) - time.monotonic()))
            now = time.monotonic()
            if self._written > self._limits.output_bytes:
                return "output"
            if now >= deadline:
                return "time"
            if now >= look:
                if (over := self._over()) is not None:
                    return over
                look = time.monotonic() + _NEXT_LOOK
        self._read(0.0)
        return None

    def kill(self) -> None:
        """Kill everything that the program started, in any session, then the sandbox's processes."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(0.2 if self.ended and "processes" in self.held else 0)
        for _ in range(_ROUNDS):
            if not (processes := self._alive()):
                break
            self._kill(processes)
            time.sleep(0.01)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(1)  # it reaps the others and ends
        self._child.kill()

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select(self._open, (), (), seconds)
        for source in ready:
            chunk = os.read(source, 1 << 16)
            if not chunk:
                self._open.remove(source)
                if not self._open:
                    time.sleep(min(seconds, _NEXT_LOOK))  # the program has closed its output and runs on
            elif source == self._outlet:
                self._reported += chunk[:_TAIL]
            else:
                self._written += len(chunk)
                self.tail = (self.tail + chunk)[-_TAIL:]

    def _over(self) -> Reason | None:
        """The exceeded limit, of those that the OS does not enforce, or None."""
        processes = self._alive(everywhere=False)
        if len(processes) > self._limits.processes + _CHILD_PROCESSES:
            return "processes"
        used = 0
        for process in processes:
            with suppress(psutil.Error):
                used += process.memory_info().rss
        if used > self._limits.memory_bytes:
            return "memory"
        if "root" not in self.held and size_of(self._folder) > self._limits.disk_bytes:
            return "disk"
        return None

    def _alive(self, everywhere: bool = True) -> list[psutil.Process]:
        """The child's descendants. With `everywhere`, also orphans, which carry the mark in their environment."""
        processes: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            processes += self._process.children(recursive=True)
        if everywhere and "processes" not in self.held:
            known = {process.pid for process in (*processes, self._process)}
            for process in psutil.process_iter():
                with suppress(psutil.Error, OSError):
                    if process.pid not in known and process.environ().get(_MARK) == self._mark:
                        processes.append(process)
        return [process for process in processes if _lives(process)]

    def _kill(self, processes: list[psutil.Process]) -> None:
        """Kill whole groups first: one call, so new forks cannot escape it."""
        groups = set()
        for process in processes:
            with suppress(OSError):
                groups.add(os.getpgid(process.pid))
        for group in groups - {os.getpgid(0), self._child.pid}:
            with suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        for process in processes:
            with suppress(psutil.Error):
                process.kill()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _verdict(run: _Run, stopped: Reason | None, seconds: float) -> Verdict:
    tail = run.tail.decode("utf-8", "replace").strip()
    detail = tail.splitlines()[-1][:_DETAIL] if tail else ""
    passed = run.judged == "passed"
    exit_code = 1 if run.judged == "failed" else run.exit_code
    return Verdict(passed, "passed" if passed else stopped or _reason(exit_code, detail), detail, seconds)


def _reason(exit_code: int | None, detail: str) -> Reason:
    if exit_code == -signal.SIGXCPU:
        return "time"
    if exit_code is None or exit_code < 0:
        return "crashed"
    if exit_code in _EXITED:
        return "exited"
    return "memory" if detail.startswith("MemoryError") else "failed"
