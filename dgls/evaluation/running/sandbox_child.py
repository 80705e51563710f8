"""The inner side of the sandbox: a script that confines itself as far as the OS allows, then runs a program.

    python -P -s -B sandbox_child.py  <  {"source", "token", "report", "folder", limits ...} as JSON

Three processes: the outer one enters namespaces and waits; on Linux the second is the first of a new process namespace
(when it ends, the kernel kills all processes in the namespace); the third runs the program. Writes lines to the file
descriptor `report`: the restrictions in force, the token once the program has run to its end, then its exit code. Uses
only the standard library, because the project's packages are not on its path.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 2, 4, 0x4000, 0x40000
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY, _SYS_MOUNT_SETATTR = -100, 0x8000, 1, 442


def main() -> None:
    spec: dict[str, Any] = json.load(sys.stdin)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    held: list[str] = []
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if spec["namespaces"]:
            held = _enter_namespaces(libc, spec)
    _report(spec, "holds " + " ".join(held))
    first = os.fork()
    if first:
        _reap(None)
        os._exit(0)
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    runner = os.fork()
    if runner:
        _report(spec, f"ended {_reap(runner)}")
        os._exit(0)
    os.setsid()
    _limit(spec, own_user="user" in held)
    _run(spec)


def _enter_namespaces(libc: ctypes.CDLL, spec: dict[str, Any]) -> list[str]:
    """Enter each namespace by itself, because a container may forbid some. Returns the names of those entered."""
    user, group = os.getuid(), os.getgid()
    held = []
    if libc.unshare(NEW_USER) == 0:
        try:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
            held.append("user")
        except OSError:
            pass  # the mapping is forbidden, and so will be the rest
    if libc.unshare(NEW_NETWORK) == 0:
        held.append("network")
    if libc.unshare(NEW_IPC) == 0:
        held.append("ipc")
    if libc.unshare(NEW_MOUNTS) == 0 and _mount(libc, spec):
        held.append("files")
    if libc.unshare(NEW_PROCESSES) == 0:
        held.append("processes")
    return held


def _mount(libc: ctypes.CDLL, spec: dict[str, Any]) -> bool:
    """Make everything read-only, except a small file system in memory over the program's folder."""
    read_only = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(read_only))
    folder, options = os.fsencode(spec["folder"]), f"size={spec['disk_bytes']},nr_inodes=4096,mode=700".encode()
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return False
    if libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, ctypes.byref(read_only), size) != 0:
        return False
    if libc.mount(b"tmpfs", folder, b"tmpfs", _MS_NOSUID | _MS_NODEV, options) != 0:
        return False
    os.chdir(folder)
    return True


def _reap(wanted: int | None) -> int:
    """Wait for one child, or for all including their orphans. Returns the exit code; negative for a signal."""
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            return 0
        if ended == wanted:
            return os.waitstatus_to_exitcode(status)


def _limit(spec: dict[str, Any], own_user: bool) -> None:
    import resource

    cpu = spec["cpu_seconds"]
    wanted = {
        "RLIMIT_CPU": (cpu, cpu + 1),  # a signal before the kill, so that this end can be recognized
        "RLIMIT_AS": (spec["memory_bytes"],) * 2,
        "RLIMIT_FSIZE": (spec["file_bytes"],) * 2,
        "RLIMIT_NOFILE": (spec["open_files"],) * 2,
        "RLIMIT_CORE": (0, 0),
    }
    if own_user:  # without it, the limit would count all of the user's processes
        wanted["RLIMIT_NPROC"] = (spec["processes"],) * 2
    for name, (soft, hard) in wanted.items():
        kind = getattr(resource, name)
        most = resource.getrlimit(kind)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (ValueError, OSError):
            continue  # macOS has no memory limit; the parent watches it


def _run(spec: dict[str, Any]) -> None:
    """Run the program, and report the token after its last statement. No other exit reaches that line."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    me = os.getpid()
    code = 1
    program = sys.modules["__main__"] = ModuleType("__main__")  # where pickle and type hints look names up
    try:
        exec(compile(spec.pop("source"), "program.py", "exec"), vars(program))
        if os.getpid() == me:
            _report(spec, spec["token"])
            code = 0
    except SystemExit:
        code = 3
    except BaseException as error:
        os.write(2, traceback.format_exception_only(error)[-1].encode("utf-8", "replace"))
    finally:
        os._exit(code)


def _report(spec: dict[str, Any], line: str) -> None:
    os.write(spec["report"], line.encode() + b"\n")


if __name__ == "__main__":
    main()
