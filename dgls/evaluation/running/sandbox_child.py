"""The inner side of the sandbox: processes that confine themselves as far as the OS allows, then run a program.

    keeper      enters the namespaces and waits for the others
      judge     runs the tests and says whether they passed; the first process of a namespace on Linux
        guard   waits for the worker and says how it ended; the first of another one, where it sees no judge
          worker  runs the code under test, which is foreign, and answers the judge

When the first process of a namespace ends, the kernel kills all processes in it. Standard input holds two messages: a
specification, and the tests, which are read after the worker is there, so that its memory does not hold them. Lines to
the descriptor `report`: what holds, "passed" or "failed" by the judge, the worker's exit code. The worker has closed
the descriptor before foreign code runs. Uses only the standard library, because no other package is on its path.
"""

from __future__ import annotations

import os
import pickle
import sys

from dgls.evaluation.running.sandbox_judge import Channel, ChannelClosed, judge, work
from dgls.evaluation.running.sandbox_linux import SCRATCH, Linux

TYPE_CHECKING = False  # importing typing takes a tenth of the sandbox's start
if TYPE_CHECKING:
    from typing import Any

EXITED = 3
"""The exit code of a worker whose program ended itself."""
_DESCRIPTORS = 256  # more than the sandbox ever has open; the parent left it three
_OURS = 3  # processes of the sandbox in the program's user namespace, without the worker


def main() -> None:
    spec: dict[str, Any] = pickle.loads(_message())
    linux = Linux() if sys.platform == "linux" else None
    held: list[str] = []
    if linux is not None:
        if "namespaces" in spec["walls"]:
            held = linux.enter(spec["folder"], spec["disk_bytes"])
        linux.prepare()
        linux.hide()
    if "root" in held:
        spec["folder"] = os.environ["HOME"] = os.environ["TMPDIR"] = SCRATCH
    _report(spec, "holds " + " ".join(held))
    if not os.fork():
        _judge(spec, linux, held)
    _reap(None)
    os._exit(0)


def _judge(spec: dict[str, Any], linux: Linux | None, held: list[str]) -> None:
    if linux is not None:
        linux.prepare()
        if "processes" in held:
            linux.nest()
    questions, answers = os.pipe(), os.pipe()
    guard = os.fork()
    if not guard:
        _guard(spec, linux, held, questions[0], answers[1])
    tests = _message().decode("utf-8", "surrogatepass")
    _confine(spec, linux, held, keep=(answers[0], questions[1], spec["report"]))
    try:
        judge(Channel(answers[0], questions[1]), tests)
    except ChannelClosed:
        os.waitpid(guard, 0)  # it says how the worker ended
    except BaseException as error:
        _tell(error)
        _report(spec, "failed")
    else:
        _report(spec, "passed")
    finally:
        os._exit(0)


def _guard(spec: dict[str, Any], linux: Linux | None, held: list[str], source: int, target: int) -> None:
    if linux is not None:
        linux.prepare()
    worker = os.fork()
    if not worker:
        _work(spec, linux, held, source, target)
    _close_all_but(spec["report"])  # so that the judge sees the worker's end
    _report(spec, f"ended {_reap(worker)}")
    os._exit(0)


def _work(spec: dict[str, Any], linux: Linux | None, held: list[str], source: int, target: int) -> None:
    os.setsid()
    if linux is not None and "processes" not in held:
        linux.hide(False)  # the parent finds what is left of the program by its environment
    walls = _confine(spec, linux, held, keep=(source, target, spec["report"]))
    _report(spec, "holds " + " ".join(walls))
    os.close(spec["report"])
    code = 1
    try:
        work(Channel(source, target), spec.pop("source"))
        code = 0
    except SystemExit:
        code = EXITED
    except BaseException as error:
        _tell(error)
    finally:
        os._exit(code)


def _confine(spec: dict[str, Any], linux: Linux | None, held: list[str], keep: tuple[int, ...]) -> list[str]:
    """The last step before foreign code: nothing to read, no other descriptors, limits, no privileges."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _close_all_but(*keep)
    _limit(spec, own_user="user" in held)
    walls: list[str] = []
    if linux is not None and linux.drop_capabilities():
        walls.append("privileges")
    if linux is not None and "filters" in spec["walls"]:
        walls += linux.restrict({"root", "processes"} <= set(held), spec["folder"])
    return walls


def _close_all_but(*keep: int) -> None:
    low = 3
    for descriptor in (*sorted(keep), _DESCRIPTORS):
        os.closerange(low, descriptor)
        low = descriptor + 1


def _limit(spec: dict[str, Any], own_user: bool) -> None:
    import resource  # Windows has none, and imports this module

    cpu = spec["cpu_seconds"]
    wanted = {
        "RLIMIT_CPU": (cpu, cpu + 1),  # a signal before the kill, so that this end can be recognized
        "RLIMIT_AS": (spec["memory_bytes"],) * 2,
        "RLIMIT_FSIZE": (spec["file_bytes"],) * 2,
        "RLIMIT_NOFILE": (spec["open_files"],) * 2,
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
        "RLIMIT_MEMLOCK": (0, 0),
        "RLIMIT_RTPRIO": (0, 0),
        "RLIMIT_NICE": (0, 0),
    }
    if own_user:  # without it, the limit would count all of the user's processes
        wanted["RLIMIT_NPROC"] = (spec["processes"] + _OURS,) * 2
    for name, (soft, hard) in wanted.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        most = resource.getrlimit(kind)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (ValueError, OSError):
            continue  # macOS has no memory limit; the parent watches it


def _tell(error: BaseException) -> None:
    """Write the error's last line."""
    from traceback import format_exception_only  # takes a tenth of the sandbox's start

    os.write(2, format_exception_only(error)[-1].encode("utf-8", "replace"))


def _reap(wanted: int | None) -> int:
    """Wait for one child, or for all including their orphans. Returns the exit code; negative for a signal."""
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            return 0
        if ended == wanted:
            return os.waitstatus_to_exitcode(status)


def _message() -> bytes:
    """The next message of standard input, and not a byte more."""
    return _exactly(int.from_bytes(_exactly(8), "big"))


def _exactly(length: int) -> bytes:
    message = bytearray()
    while len(message) < length and (chunk := os.read(0, length - len(message))):
        message += chunk
    return bytes(message)


def _report(spec: dict[str, Any], line: str) -> None:
    os.write(spec["report"], line.encode() + b"\n")


if __name__ == "__main__":
    main()
