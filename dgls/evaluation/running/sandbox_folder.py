"""The temporary folder of a program in the sandbox, seen from outside: its size, and its end.

Where the program has a root folder of its own, this folder stays empty. Elsewhere the program may leave anything in it:
links, pipes, trees deeper than a path can be. Nothing here follows a link or opens a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BLOCK, _DEEPEST = 4096, 1024


@contextmanager
def temporary_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="dgls-")
    try:
        yield folder
    finally:
        try:
            Path(folder).rmdir()
        except OSError:  # it is not empty; `shutil.rmtree` of Python 3.11 fails on a deep tree
            subprocess.run(
                ["rm", "-rf", "--", folder], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            )


def size_of(folder: str) -> int:
    """The sum of the files in the folder. Each entry counts a block at least; what lies too deep counts as endless."""
    total, folders = 0, [folder]
    while folders:
        place = folders.pop()
        if len(place) > len(folder) + _DEEPEST:
            return sys.maxsize
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                with suppress(OSError):
                    total += max(_BLOCK, entry.stat(follow_symlinks=False).st_size)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
    return total
