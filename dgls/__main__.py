"""The entry of `dgls` and of `python -m dgls`: keep the user's Python settings out, then run the command.

A shell or an editor may set `PYTHONPATH=.` or `PYTHONOPTIMIZE` for the user's own project. Python would then import the
project's `torch.py` in place of ours, and skip asserts. So if such a variable is set, or if Python searches the current
folder for modules, the process replaces itself by one that ignores them. It passes `-E -P` and not `-I`, which would
hide what `pip install --user` installs, perhaps dgls itself. A developer's `PYTHONPATH` that leads to dgls keeps the
folders of dgls and loses all others.

Until then only `os` and `sys` are imported. A program that pip installs imports `re` even before this module, so the
editors' extensions clear these variables as well.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # a project may have a typing.py
    from typing import NoReturn

VARIABLES = ("PYTHONPATH", "PYTHONOPTIMIZE", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT")


def main() -> NoReturn:
    allowed = "" if sys.flags.ignore_environment else _own_python_path()
    if not sys.flags.ignore_environment and _exposed(allowed):
        _restart(allowed)
    _clear_variables(allowed)  # for the processes that this one starts
    # torch's idle threads spin by default. Where other programs use the cores, a step then takes 40 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from dgls.cli import main as run

    run()


def _own_python_path() -> str:
    """The part of PYTHONPATH that dgls is imported from; empty for an installed dgls."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    entries = map(os.path.abspath, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    return os.pathsep.join(entry for entry in entries if entry in (root, os.path.join(root, "engine")))


def _exposed(allowed: str) -> bool:
    if any(os.environ.get(name, "") != (allowed if name == "PYTHONPATH" else "") for name in VARIABLES):
        return True
    return not sys.flags.safe_path and sys.path[0] in ("", os.getcwd())


def _clear_variables(allowed: str) -> None:
    for name in VARIABLES:
        os.environ.pop(name, None)
    if allowed:
        os.environ["PYTHONPATH"] = allowed


def _restart(allowed: str) -> NoReturn:
    """Start again without the variables, in the same process and on the same pipes if the system can do that."""
    _clear_variables(allowed)
    flags = ["-P"] if allowed else ["-E", "-P"]
    command = [sys.executable, *flags, "-m", "dgls", *sys.argv[1:]]
    if os.name != "nt":
        os.execv(sys.executable, command)
    import subprocess  # Windows' execv gives the pipes' other end to a parent that has ended

    sys.exit(subprocess.call(command))


if __name__ == "__main__":
    main()
