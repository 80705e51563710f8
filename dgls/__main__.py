"""The entry of `dgls` and of `python -m dgls`: keep the user's Python settings out, then run the command.

A shell or an editor may set `PYTHONPATH=.` or `PYTHONOPTIMIZE` for the user's own project. Then a project's `torch.py`
would be imported in place of ours, and asserts would be gone. So where such a variable is set, or the current folder is
searched for modules, the process replaces itself by one that ignores them. `-E -P` and not `-I`, which would hide what
`pip install --user` installs, dgls perhaps. Until then only `os` and `sys` are imported.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # a project may have a typing.py
    from typing import NoReturn

VARIABLES = ("PYTHONPATH", "PYTHONOPTIMIZE", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT")


def main() -> NoReturn:
    if sys.flags.ignore_environment:
        _forget()  # for the processes that this one starts
    elif _exposed():
        _isolate()
    from dgls.cli import main as run

    run()


def _exposed() -> bool:
    if _root() in map(os.path.abspath, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        return False  # the way to dgls itself
    return any(os.environ.get(name) for name in VARIABLES) or sys.path[0] in ("", os.getcwd())


def _forget() -> None:
    for name in VARIABLES:
        os.environ.pop(name, None)


def _root() -> str:
    """The folder in which `dgls` is found."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _isolate() -> NoReturn:
    """Start again without the variables, in the same process and on the same pipes where the system can do that."""
    _forget()
    command = [sys.executable, "-E", "-P", "-m", "dgls", *sys.argv[1:]]
    if os.name != "nt":
        os.execv(sys.executable, command)
    import subprocess  # Windows' execv gives the pipes' other end to a parent that has ended

    sys.exit(subprocess.call(command))


if __name__ == "__main__":
    main()
