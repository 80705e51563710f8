"""Reads the small files of a model's folder. Their content and their kind are whatever somebody put there.

    if holds(folder / "infill.json"):           # raises for a FIFO, a folder, a device or a link to nothing
        values = read_json(folder / "infill.json")

Each error is a `BrokenCheckpoint` that names the file. Knows no model; any thread.
"""

from __future__ import annotations

import json
import os
import reprlib
import stat
from pathlib import Path
from typing import Any

from dgls_engine.errors import BrokenCheckpoint

_MAX_BYTES = 64 * 2**20
"""The most bytes that are read. The largest tokenizers have 35 MB."""


def holds(path: Path) -> bool:
    """Whether there is a regular file. Raises `BrokenCheckpoint` if something else is there: left out, it would change
    how the model works without a word."""
    if not os.path.lexists(path):
        return False
    regular_size(path)
    return True


def regular_size(path: Path) -> int:
    """The bytes of the regular file `path`. Raises `BrokenCheckpoint` if there is none: a FIFO would wait for a writer,
    a device may never end."""
    try:
        status = path.stat()
    except FileNotFoundError:
        said = "is a link to a file that is gone" if path.is_symlink() else "is missing"
        raise BrokenCheckpoint(f"{path} {said}; fetch the model again") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(path, "it is no regular file")
    return status.st_size


def read_bytes(path: Path, most: int = _MAX_BYTES) -> bytes:
    """The content of the regular file `path`. Raises `BrokenCheckpoint` if it cannot be read or has more than `most`
    bytes."""
    if (size := regular_size(path)) > most:
        raise _unreadable(path, f"it has {size} bytes; at most {most} are read")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def read_text(path: Path, most: int = _MAX_BYTES) -> str:
    """The UTF-8 text in the regular file `path`. Raises `BrokenCheckpoint`, as `read_bytes` does."""
    try:
        return read_bytes(path, most).decode("utf-8")
    except ValueError as error:
        raise _unreadable(path, error) from None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`. Raises `BrokenCheckpoint` if the file does not hold one, is no regular file,
    is too large or nests too deeply."""
    return json_object(path, read_bytes(path))


def json_object(path: Path, content: bytes) -> dict[str, Any]:
    """The JSON object in `content`, which was read from the file `path`. Raises `BrokenCheckpoint`."""
    try:
        value = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise BrokenCheckpoint(f"{path} nests its values too deeply; fetch the model again") from None
    except ValueError as error:
        raise _unreadable(path, error) from None
    if not isinstance(value, dict):
        raise BrokenCheckpoint(f"{path} does not hold a JSON object; fetch the model again")
    return value


def shown(value: object) -> str:
    """The start of a value, for a message."""
    return (value if isinstance(value, str) else reprlib.repr(value))[:200]


def _unreadable(path: Path, reason: object) -> BrokenCheckpoint:
    return BrokenCheckpoint(f"{path} cannot be read ({reason}); fetch the model again")
