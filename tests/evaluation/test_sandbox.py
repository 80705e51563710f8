"""The sandbox: what a program may do, and that no process of it survives.

Tests run with all walls that the OS allows, and with limits alone; some also with filters and without namespaces. All
hostile programs are small and end by themselves within a minute. `test_escapes` has those that try to get out.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from dgls.errors import SandboxUnavailable
from dgls.evaluation.running import sandbox
from dgls.evaluation.running.sandbox import WALLS, ProgramLimits, Wall, containment, run_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are not run on Windows")

LIMITS = ProgramLimits(
    seconds=20,
    cpu_seconds=1,
    memory_bytes=256 << 20,
    file_bytes=1 << 20,
    disk_bytes=4 << 20,
    output_bytes=100_000,
    processes=5,
)
BOTH = pytest.mark.parametrize("walls", [WALLS, ()], ids=["namespaces", "limits"])
EACH = pytest.mark.parametrize("walls", [WALLS, ("filters",), ()], ids=["namespaces", "filters", "limits"])


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent of all programs' folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def processes_with(word: str) -> list[int]:
    processes = []
    for process in psutil.process_iter():
        try:
            if word in (process.name(), *process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process.pid)
        except psutil.Error:
            continue
    return processes


@EACH
@pytest.mark.parametrize(
    ("source", "reason", "detail"),
    [
        ("x = 1", "passed", ""),
        ("print('done', flush=True)", "passed", "done"),
        ("assert 1 == 2, 'no'", "failed", "AssertionError: no"),
        ("def f(:", "failed", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(0)", "exited", ""),
        ("import os\nos._exit(0)", "exited", ""),
        ("raise SystemExit", "exited", ""),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "crashed", ""),
        ("while True: pass", "time", ""),
        ("x = 'a' * (1 << 30)", "memory", "MemoryError"),
        ("open('x', 'wb').write(b'a' * (2 << 20))", "failed", "OSError: [Errno 27] File too large"),
        ("while True: print('x' * 1000)", "output", "x" * 200),
        ("input()", "failed", "EOFError: EOF when reading a line"),
        ("import os\nos.close(1)\nos.close(2)\nx = 1", "passed", ""),
    ],
)
def test_run_program_source_gives_its_verdict(
    source: str, reason: str, detail: str, walls: tuple[Wall, ...], folders: Path
) -> None:
    verdict = run_program(source, "", LIMITS, walls=walls)
    assert (verdict.reason, verdict.passed) == (reason, reason == "passed")
    assert verdict.detail == detail or (reason == "output" and set(verdict.detail) == {"x"})
    assert list(folders.iterdir()) == []


@BOTH
def test_run_program_sleeping_stops_at_time_limit(walls: tuple[Wall, ...]) -> None:
    limits = ProgramLimits(seconds=0.5)
    verdict = run_program("import time\ntime.sleep(60)", "", limits, walls=walls)
    assert verdict.reason == "time"
    assert verdict.seconds < 30


@BOTH
def test_run_program_too_many_processes_is_stopped(walls: tuple[Wall, ...]) -> None:
    source = "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        time.sleep(60)\ntime.sleep(60)\n"
    assert run_program(source, "", LIMITS, walls=walls).reason in ("processes", "failed")


@BOTH
def test_run_program_sums_memory_over_processes(walls: tuple[Wall, ...]) -> None:
    source = (
        "import os, time\nfor _ in range(3):\n    if os.fork() == 0:\n        x = b'a' * (100 << 20)\n"
        "        time.sleep(60)\ntime.sleep(60)\n"
    )
    assert run_program(source, "", LIMITS, walls=walls).reason == "memory"


@BOTH
def test_run_program_many_files_hits_disk_limit(walls: tuple[Wall, ...]) -> None:
    source = (
        "import time\nfor n in range(12):\n    with open(str(n), 'wb') as f: f.write(b'a' * 900_000)\ntime.sleep(60)\n"
    )
    verdict = run_program(source, "", LIMITS, walls=walls)
    assert verdict.reason == "disk" or "No space left" in verdict.detail


@EACH
@pytest.mark.parametrize("ending", ["", "time.sleep(60)\n", "raise SystemExit\n"], ids=["ends", "hangs", "exits"])
def test_run_program_kills_daemon(ending: str, walls: tuple[Wall, ...]) -> None:
    """It left the process group, the session and its parent, as daemons do."""
    word = secrets.token_hex(7)
    rename = f"ctypes.CDLL(None).prctl(15, {word.encode()!r})"
    if sys.platform != "linux":
        rename = f"os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', {word!r}])"
    source = (
        "import ctypes, os, sys, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        {rename}\n        time.sleep(60)\n"
        "    os._exit(0)\n"
        "time.sleep(0.3)\n"
    )
    limits = ProgramLimits(seconds=1)
    run_program(source + ending, "", limits, walls=walls)
    assert processes_with(word) == []


@BOTH
def test_run_program_fork_cannot_pass_for_parent(walls: tuple[Wall, ...]) -> None:
    source = "import os\nif os.fork():\n    os.wait()\n    os._exit(0)\nx = 1\n"
    assert run_program(source, "", LIMITS, walls=walls).reason == "exited"


def test_run_program_source_runs_as_main_module() -> None:
    source = (
        "import pickle, typing\nclass A:\n    own: 'A'\npickle.loads(pickle.dumps(A()))\ntyping.get_type_hints(A)\n"
    )
    assert run_program(source, "", ProgramLimits()).reason == "passed"


def test_run_program_fixes_hash_seed() -> None:
    details = {run_program("print(hash('a'))", "", LIMITS).detail for _ in range(2)}
    assert len(details) == 1


def test_run_program_hides_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "1")
    assert run_program("import os\nassert 'SECRET_OF_MINE' not in os.environ", "", LIMITS).passed


def test_containment_reported_limits_hold(tmp_path: Path) -> None:
    held = containment()
    if held.network:
        assert "not permitted" in run_program("import socket\nsocket.socket()", "", LIMITS).detail
        assert "no network" in str(held)
    outside = tmp_path / "outside"
    verdict = run_program(f"open({str(outside)!r}, 'w').write('x')", "", LIMITS)
    assert held.files == (not verdict.passed) == (not outside.exists())
    others = run_program("import os\nassert os.getppid() == 1", "", LIMITS)
    assert held.processes == others.passed


def test_run_program_on_windows_raises_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.os, "name", "nt")
    with pytest.raises(SandboxUnavailable, match="WSL"):
        run_program("", "", LIMITS)
