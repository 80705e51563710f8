"""What Linux enforces on the sandbox's processes: namespaces, a root folder of their own, no privileges.

    enter                namespaces, and a root folder with Python's libraries and an empty folder in memory
    nest                 another process namespace for the next child
    drop_capabilities    all, for good
    restrict             a list of files (Landlock) and a filter of system calls; just before foreign code runs

Each step may be forbidden, by a container or in an old kernel; it is left out then, and not among the words returned.
Nothing is undone: it all holds until the process ends, and for its children. Runs in the sandbox's processes only.
Each program starts anew, so what takes long to import (pathlib, typing) is not imported.
"""

# ruff: noqa: PTH103, PTH112, PTH113, PTH120

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator

from dgls.evaluation.running.sandbox_calls import filter_for

SCRATCH = "/tmp"
"""The program's folder, in a root folder of its own."""

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE, _DETACH = 2, 4, 8, 0x1000, 0x4000, 0x40000, 2
_AT_FDCWD, _AT_RECURSIVE, _ATTR_READ_ONLY, _ATTR_NOSUID = -100, 0x8000, 1, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR, _CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 442, 444, 445, 446

_KILL = 9
_PARENT_DEATH, _DUMPABLE, _SECCOMP, _BOUNDING_DROP, _SECURE_BITS = 1, 4, 22, 24, 28
_SUBREAPER, _NO_NEW_PRIVILEGES, _AMBIENT, _CLEAR_ALL, _FILTER = 36, 38, 47, 4, 2
_NO_ROOT_LOCKED = 0xEF  # user 0 gets no capabilities, neither by exec nor by a change of user; locked
_CAPABILITIES = 0x20080522  # version 3 of the kernel's interface
_JOIN_SESSION_KEYRING, _KEYCTL = 1, {"x86_64": 250, "aarch64": 219}

_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_RUN, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8
_TRUNCATE, _SPECIAL_FILES = 1 << 14, 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11  # devices, sockets, pipes
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""By the version of Landlock that brought them."""


class Linux:
    """The kernel, as this process may use it."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._machine = os.uname().machine
        self._ids = os.getuid(), os.getgid()

    def prepare(self) -> None:
        """In each process: end with the parent, collect orphans, gain nothing by running a program."""
        self._libc.prctl(_PARENT_DEATH, _KILL, 0, 0, 0)
        self._libc.prctl(_SUBREAPER, 1, 0, 0, 0)
        self._libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)

    def hide(self, hidden: bool = True) -> None:
        """Close this process's memory and descriptors to others of its user."""
        self._libc.prctl(_DUMPABLE, int(not hidden), 0, 0, 0)

    def enter(self, folder: str, disk_bytes: int) -> list[str]:
        """Enter each namespace by itself, because a container may forbid some. The process namespace holds for
        children. `folder` becomes the root."""
        held = []
        this = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)  # the new root has none
        if self._own_user(this):
            held.append("user")
            self._write("/proc/sys/user/max_user_namespaces", "1")  # the second; the filter forbids more, too
        if self._libc.unshare(_NEW_NETWORK) == 0:
            held.append("network")
        if self._libc.unshare(_NEW_IPC) == 0:
            held.append("ipc")
        if self._libc.unshare(_NEW_MOUNTS) == 0 and self._new_root(folder, disk_bytes):
            held.append("root")
        if "user" in held:
            self._own_user(this)  # a second one, which owns no mounts: its capabilities can't change them
        os.close(this)
        if self.nest():
            held.append("processes")
        return held

    def nest(self) -> bool:
        return bool(self._libc.unshare(_NEW_PROCESSES) == 0)

    def drop_capabilities(self) -> bool:
        """From all five sets. Without CAP_SETPCAP the bounding set stays; it gives nothing to a process that can't
        gain privileges."""
        self._libc.prctl(_AMBIENT, _CLEAR_ALL, 0, 0, 0)
        for capability in range(64):
            self._libc.prctl(_BOUNDING_DROP, capability, 0, 0, 0)
        self._libc.prctl(_SECURE_BITS, _NO_ROOT_LOCKED, 0, 0, 0)
        header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
        return bool(self._libc.capset(ctypes.byref(header), ctypes.byref(none)) == 0)

    def restrict(self, alone: bool, folder: str) -> list[str]:
        """Allow Python's libraries and `folder`, and few system calls. `alone`: the process has its own root and sees
        no processes but its own."""
        held = []
        if self._machine in _KEYCTL:
            self._libc.syscall(_KEYCTL[self._machine], _JOIN_SESSION_KEYRING, None)
        if self._landlock(folder):
            held.append("landlock")
        if self._filter(alone):
            held.append("filter")
        return held

    def _own_user(self, this: int) -> bool:
        """Enter a user namespace, which gives all capabilities within it. `this` is the process's folder in /proc."""
        if self._libc.unshare(_NEW_USER) != 0:
            return False
        user, group = self._ids
        return (
            self._write("setgroups", "deny", this)
            and self._write("uid_map", f"{user} {user} 1", this)
            and self._write("gid_map", f"{group} {group} 1", this)
        )

    def _write(self, path: str, text: str, folder: int | None = None) -> bool:
        try:
            file = os.open(path, os.O_WRONLY, dir_fd=folder)
            try:
                os.write(file, text.encode())
            finally:
                os.close(file)
        except OSError:
            return False
        return True

    def _new_root(self, folder: str, disk_bytes: int) -> bool:
        """Whether `folder` is the root now. If not, it is as before."""
        root, scratch = os.fsencode(folder), os.fsencode(folder + SCRATCH)
        attributes = (ctypes.c_uint64 * 4)(_ATTR_READ_ONLY | _ATTR_NOSUID, 0, 0, 0)
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        limits = f"size={disk_bytes},nr_inodes=4096,mode=700".encode()
        try:
            self._mount(b"none", b"/", None, _REC | _PRIVATE)
            self._mount(b"tmpfs", root, b"tmpfs", _NOSUID | _NODEV, b"size=1m,mode=755")
            for path in (*_libraries(), *_DEVICES):
                self._show(path, folder)
            os.makedirs(scratch, exist_ok=True)
            self._check(
                self._libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, root, _AT_RECURSIVE, ctypes.byref(attributes), size)
            )
            self._mount(b"tmpfs", scratch, b"tmpfs", _NOSUID | _NODEV | _NOEXEC, limits)
            os.chdir(folder)
            self._check(self._libc.syscall(_PIVOT_ROOT.get(self._machine, -1), b".", b"."))
            self._check(self._libc.umount2(b".", _DETACH))
            os.chdir(SCRATCH)
        except OSError:
            self._libc.umount2(root, _DETACH)
            return False
        return True

    def _show(self, path: str, root: str) -> None:
        """Show a file or folder of the system in the new root, at the same place."""
        target = root + path
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT))
        self._mount(os.fsencode(path), os.fsencode(target), None, _BIND | _REC)

    def _mount(
        self, source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None = None
    ) -> None:
        self._check(self._libc.mount(source, target, kind, ctypes.c_ulong(flags), options))

    def _check(self, result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "refused by the kernel")

    def _landlock(self, folder: str) -> bool:
        """Allow the files that `_new_root` shows and `folder`, and no others. From version 6 also: no signals and no
        abstract sockets to processes outside."""
        version = self._libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
        if version < 1:
            return False
        rights = next(rights for since, rights in reversed(_FILE_RIGHTS.items()) if since <= version)
        packed = struct.pack("=QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
        rules = self._libc.syscall(_CREATE_RULESET, packed, ctypes.c_size_t(len(packed)), 0)
        if rules < 0:
            return False
        for path in _libraries():
            self._allow(rules, path, _RUN | _READ_FILE | _READ_FOLDER)
        for path in _DEVICES:
            self._allow(rules, path, (_WRITE_FILE | _READ_FILE | _TRUNCATE) & rights)
        self._allow(rules, folder, rights & ~_RUN & ~_SPECIAL_FILES)
        held = bool(self._libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
        os.close(rules)
        return held

    def _allow(self, rules: int, path: str, rights: int) -> None:
        if not os.path.isdir(path):
            rights &= ~_READ_FOLDER
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        self._libc.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", rights, place), 0)
        os.close(place)

    def _filter(self, alone: bool) -> bool:
        program = filter_for(self._machine, alone, os.getpid())
        if program is None:
            return False
        steps = ctypes.create_string_buffer(program, len(program))
        packed = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
        return bool(self._libc.prctl(_SECCOMP, _FILTER, ctypes.c_char_p(packed), 0, 0) == 0)


def _libraries() -> Iterator[str]:
    """The places of what Python may load while it runs: libraries of the system and its own, nothing of the user's."""
    folders = {f"{prefix}/{name}" for prefix in ("", "/usr", sys.base_prefix) for name in ("lib", "lib64")}
    folders |= {f"{sys.base_exec_prefix}/{sys.platlibdir}", os.path.dirname(os.__file__), "/nix/store", "/gnu/store"}
    shown: list[str] = []
    for folder in sorted(folders):
        if not any(folder.startswith(above + "/") for above in shown) and os.path.isdir(folder):
            shown.append(folder)
            yield folder
    if os.path.isfile("/etc/ld.so.cache"):
        yield "/etc/ld.so.cache"
