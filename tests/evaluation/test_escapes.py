"""What foreign code tries in the sandbox (`fixtures/sandbox`): to get out, and to pass tests that it fails.

Each attempt reports what it got, and the evaluator looks whether something reached it. All attempts to get out share a
run, with namespaces and with filters alone. Forgeries run with all walls, and with none, as on macOS.
"""

from __future__ import annotations

import ast
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from select import select

import pytest

from dgls.evaluation.running.sandbox import WALLS, ProgramLimits, Wall, containment, run_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are not run on Windows")

FOLDER = Path(__file__).parents[2] / "fixtures" / "sandbox"
ESCAPES = (FOLDER / "escapes.py").read_text(encoding="utf-8")
_HELPERS = ("call", "wrote", "opened", "status_of_child", "attempt")
NAMES = [node.name for node in ast.parse(ESCAPES).body if isinstance(node, ast.FunctionDef)]
NAMES = [name for name in NAMES if name not in _HELPERS]
FORGERIES = {
    cell.split(":", 1)[0]: cell.split("\n", 1)[1]
    for cell in (FOLDER / "forgeries.py").read_text(encoding="utf-8").split("\n# %% ")[1:]
}
NUMBER = 1000 + secrets.randbelow(10**9)
TESTS = f"""
def check(candidate):
    assert all(map(lambda n: candidate(n) == n + {NUMBER}, range(3)))
check(answer)
"""


@dataclass(frozen=True)
class Run:
    got: tuple[str, ...]
    """The attempts that got something."""
    reached: tuple[str, ...]
    """What reached the evaluator."""
    namespaces: bool


@pytest.fixture(scope="module", params=[WALLS, ("filters",)], ids=["namespaces", "filters"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of all attempts."""
    walls: tuple[Wall, ...] = request.param
    held = containment()
    if not (held.processes if "namespaces" in walls else held.files):
        pytest.skip("this kernel, or the container, allows no namespaces or has no Landlock")
    folder, secret = tmp_path_factory.mktemp("evaluator"), secrets.token_hex(16)
    (folder / "secret").write_text(secret)
    (folder / "secret").chmod(0o600)
    before = (folder / "secret").stat()
    with pytest.MonkeyPatch.context() as patch, listening(folder, secret) as listeners, signalled() as signals:
        patch.setenv("DGLS_TEST_KEY", secret)
        constants = {"PID": os.getpid(), "HOME": str(Path.home()), "OUT": str(folder), "SECRET": secret}
        constants |= {"ABSTRACT": secret, "PORT": listeners[0].getsockname()[1]}
        program = "".join(f"{name} = {value!r}\n" for name, value in constants.items()) + ESCAPES
        tests = f"print([name for name in {NAMES!r} if attempt(name)], flush=True)"
        with (folder / "secret").open() as inherited:
            os.set_inheritable(inherited.fileno(), True)
            verdict = run_program(program, tests, ProgramLimits(seconds=60), walls=walls)
        reached = [str(number) for number in signals]
        reached += [str(listener.getsockname()) for listener in listeners if select([listener], [], [], 0)[0]]
    reached += [file.name for file in folder.iterdir() if file.name not in ("secret", "socket")]
    reached += [] if (folder / "secret").stat() == before else ["secret"]
    assert verdict.passed, verdict
    return Run(tuple(ast.literal_eval(verdict.detail)), tuple(reached), "namespaces" in walls)


@contextmanager
def listening(folder: Path, name: str) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(listener(*kind))
            for kind in (
                (socket.AF_INET, ("127.0.0.1", 0)),
                (socket.AF_UNIX, str(folder / "socket")),
                (socket.AF_UNIX, f"\0{name}"),
            )
        ]


def listener(family: int, address: object) -> socket.socket:
    place = socket.socket(family)
    place.bind(address)
    place.listen()
    return place


@contextmanager
def signalled() -> Iterator[list[int]]:
    """The signals that this process gets."""
    got: list[int] = []
    known = {
        number: signal.signal(number, lambda number, _: got.append(number)) for number in (signal.SIGUSR1, signal.SIGIO)
    }
    try:
        yield got
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("name", NAMES)
def test_escape_gets_nothing(name: str, run: Run) -> None:
    if name == "bounding_set" and not run.namespaces and os.getuid():
        pytest.skip("only a privileged user can empty it; nothing is gained from it with no_new_privs")
    assert name not in run.got


def test_escapes_reach_nothing(run: Run) -> None:
    assert run.reached == ()


@pytest.mark.parametrize("walls", [WALLS, ()], ids=["namespaces", "limits"])
@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_does_not_pass(name: str, walls: tuple[Wall, ...]) -> None:
    limits = ProgramLimits(seconds=3, cpu_seconds=2, memory_bytes=256 << 20)
    assert not run_program("def answer(n): return 0\n" + FORGERIES[name], TESTS, limits, walls=walls).passed


def test_forgeries_start_as_program_that_passes() -> None:
    assert run_program(f"def answer(n): return n + {NUMBER}", TESTS, ProgramLimits()).passed
