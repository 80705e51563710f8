"""A filter of Linux system calls (seccomp) for processes that run foreign code, as a program for the kernel.

A forbidden call fails with EPERM. The filter forbids what could undo the sandbox (mounts, namespaces), reach other
processes or the kernel (ptrace, keyrings, BPF, io_uring), open sockets, or hold memory that no limit counts. Calls that
are newer than the filter do not exist for the process. A filter can't be removed and holds for all descendants.

Knows x86-64 and 64-bit ARM. Pure.
"""

from __future__ import annotations

import errno
import struct
import sys

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""The column of the tables below, and the kernel's name of the machine."""

_FORBIDDEN = """
    mount 165/40 umount2 166/39 pivot_root 155/41 chroot 161/51 setns 308/268 unshare 272/97 vhangup 153/58
    ptrace 101/117 process_vm_readv 310/270 process_vm_writev 311/271 kcmp 312/272 perf_event_open 298/241
    keyctl 250/219 add_key 248/217 request_key 249/218 bpf 321/280 userfaultfd 323/282 personality 135/92
    socket 41/198 memfd_create 319/279 mq_open 240/180 mq_unlink 241/181
    shmget 29/194 shmat 30/196 shmctl 31/195 semget 64/190 semop 65/193 semctl 66/191 semtimedop 220/192
    msgget 68/186 msgsnd 69/189 msgrcv 70/188 msgctl 71/187
    open_by_handle_at 304/265 name_to_handle_at 303/264 fanotify_init 300/262 quotactl 179/60 acct 163/89
    kexec_load 246/104 kexec_file_load 320/294 init_module 175/105 finit_module 313/273 delete_module 176/106
    reboot 169/142 swapon 167/224 swapoff 168/225 syslog 103/116 sethostname 170/161 setdomainname 171/162
    settimeofday 164/170 clock_settime 227/112 clock_adjtime 305/266 adjtimex 159/171
    iopl 172/- ioperm 173/- modify_ldt 154/-
"""
_FORBIDDEN_OUTSIDE = """
    chmod 90/- fchmod 91/52 fchmodat 268/53 chown 92/- fchown 93/55 lchown 94/- fchownat 260/54
    utime 132/- utimes 235/- utimensat 280/88 futimesat 261/- setxattr 188/5 lsetxattr 189/6 fsetxattr 190/7
    removexattr 197/14 lremovexattr 198/15 fremovexattr 199/16
    truncate 76/45 inotify_init 253/- inotify_init1 294/26
    tkill 200/130 setpriority 141/140 ioprio_set 251/30 migrate_pages 256/238 move_pages 279/239
"""
"""Also forbidden where the process sees the user's files and processes. Landlock leaves modes, owners and times alone,
and some versions of it `truncate`."""
_SELF_ONLY = """
    kill 62/129 tgkill 234/131 rt_sigqueueinfo 129/138 rt_tgsigqueueinfo 297/240 prlimit64 302/261
    sched_setaffinity 203/122 sched_setscheduler 144/119 sched_setparam 142/118 sched_setattr 314/274
"""
"""There, the first argument must be the process itself, or 0."""

_CLONE, _CLONE3, _CLOSE_RANGE = "clone 56/220", 435, 436
_NEW_NAMESPACES = 0x7E020000
_ARGUMENTS = (
    ("ioctl 16/29", (0x5412, 0x541C, 0x8901, 0x8902)),  # TIOCSTI, TIOCLINUX; FIOSETOWN, SIOCSPGRP send signals
    ("fcntl 72/25", (8, 10, 15)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX send signals
)
"""Forbidden values of the second argument."""

_FIRST_NEW = 424  # from here on, all machines number calls alike
_NEW_ALLOWED = (_CLOSE_RANGE, 437, 439, 441, 449)  # openat2, faccessat2, epoll_pwait2, futex_waitv
_FOREIGN_ABI = 0x40000000  # x32's calls on x86-64

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER, _MACHINE, _ARGUMENT = 0, 4, 16  # offsets in the kernel's record of a call
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000


def filter_for(machine: str, alone: bool, pid: int) -> bytes | None:
    """The filter, as `struct sock_filter[]`, or None if the machine is unknown. `alone`: the process sees no other
    processes and no files of the user; otherwise it may only signal itself, that is `pid`."""
    if machine not in _MACHINES or sys.maxsize <= 1 << 32:
        return None
    column, name = _MACHINES[machine]
    refuse, missing = _step(_RETURN, _FAIL | errno.EPERM), _step(_RETURN, _FAIL | errno.ENOSYS)
    steps = [_step(_LOAD, _MACHINE), _step(_EQUAL, name, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, _NUMBER)]
    steps += [_step(_AT_LEAST, _FOREIGN_ABI, 0, 1), missing]
    for number in _NEW_ALLOWED:
        steps += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ALLOW)]
    steps += [_step(_AT_LEAST, _FIRST_NEW, 0, 1), missing]  # libc then takes clone for clone3
    for number in _numbers(_FORBIDDEN if alone else _FORBIDDEN + _FORBIDDEN_OUTSIDE, column):
        steps += [_step(_EQUAL, number, 0, 1), refuse]
    steps += _if_call(_CLONE, column, [_load_argument(0), _step(_AND, _NEW_NAMESPACES), _step(_EQUAL, 0, 1, 0), refuse])
    for call, values in _ARGUMENTS:
        tests = [step for value in values for step in (_step(_EQUAL, value, 0, 1), refuse)]
        steps += _if_call(call, column, [_load_argument(1), *tests])
    if not alone:
        for number in _numbers(_SELF_ONLY, column):
            tests = [_load_argument(0), _step(_EQUAL, 0, 2, 0), _step(_EQUAL, pid, 1, 0), refuse]
            steps += [_step(_EQUAL, number, 0, len(tests) + 1), *tests, _step(_RETURN, _ALLOW)]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _if_call(call: str, column: int, steps: list[bytes]) -> list[bytes]:
    """The steps for one call; a call that passes them is allowed."""
    (number,) = _numbers(call, column)
    return [_step(_EQUAL, number, 0, len(steps) + 1), *steps, _step(_RETURN, _ALLOW)]


def _load_argument(place: int) -> bytes:
    return _step(_LOAD, _ARGUMENT + 8 * place)  # its lower half: both machines are little-endian


def _numbers(table: str, column: int) -> list[int]:
    numbers = (pair.split("/")[column] for pair in table.split()[1::2])
    return [int(number) for number in numbers if number != "-"]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
