"""Reads files of a workspace that nobody vouches for: regular files only, and no more of them than asked.

A FIFO would wait for a writer for ever, and a device may do anything. Runs on the reading thread.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def read_start(path: Path, most: int) -> str:
    """The text of the file's first `most` bytes; a byte that is not UTF-8 becomes U+FFFD.

    Raises `OSError` if there is no file, or no regular one.
    """
    # Opening some devices has effects, so the kind is checked before and, as it may have changed, after.
    if stat.S_ISREG(path.stat().st_mode):
        descriptor = os.open(path, _FLAGS)
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file.read(most).decode("utf-8", "replace")
    raise OSError(f"{path} is not a regular file")
