"""Read and write a source file, on disk or from standard input, so that unchanged text stays equal byte for byte.

Knows encodings and the file system, not code. Never translates line breaks.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dgls.errors import DglsError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it starts with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
"""Characters that no Latin-1 text contains. Tabs, line breaks and the escape character are allowed."""


class UnusableFile(DglsError):
    """The file cannot be read as text, or cannot be written; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    path: Path
    text: str
    encoding: str
    bom: bytes

    def write(self, text: str) -> None:
        """Replace the file atomically: readers see the old file or the new one. Only a file with hard links or another
        owner is written in place, so that it keeps them.

        Keeps encoding, byte order mark and mode bits, and a symbolic link's target. Raises `UnusableFile`, also if the
        file has changed since it was read: somebody may save it while the model runs.
        """
        content, old = self.encoded(text), self.encoded(self.text)
        try:
            if self.path.read_bytes() != old:
                raise UnusableFile(f"{self.path} has changed since it was read; nothing was written, try again")
            _replace(self.path.resolve(), content, old)
        except OSError as error:
            raise UnusableFile(f"{self.path} cannot be written: {error.strerror or error}") from None

    def encoded(self, text: str) -> bytes:
        """The bytes of this file with `text` as its text. Raises `UnusableFile`."""
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            wrong = text[error.start : error.end]
            raise UnusableFile(
                f"{self.path} is written in {self.encoding}, which has no {wrong!r}; convert it to UTF-8 first"
            ) from None


def read_source(name: str) -> SourceFile:
    """Raises `UnusableFile` for a path without a readable text file."""
    path = Path(name)
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # a pipe or a device may never end
            raise UnusableFile(f"{name} is no regular file; name a text file")
        content = path.read_bytes()
    except FileNotFoundError:
        raise UnusableFile(f"{name}: no such file; check the path") from None
    except IsADirectoryError:
        raise UnusableFile(f"{name} is a folder; name a file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnusableFile(f"{name} cannot be read: {reason}") from None
    return _source(path, content)


def read_piped(name: str) -> SourceFile:
    """Read all of standard input as a file called `name`. Raises `UnusableFile` if it is no text."""
    content = sys.stdin.buffer.read() if sys.stdin is not None else b""
    if not content:
        raise UnusableFile("standard input is empty; pipe a text in")
    return _source(Path(name), content)


def _source(path: Path, content: bytes) -> SourceFile:
    bom, encoding = next(((bom, encoding) for bom, encoding in _BOMS if content.startswith(bom)), (b"", ""))
    body = content[len(bom) :]
    if not bom and b"\0" in body:
        raise UnusableFile(f"{path} is a binary file; name a text file")
    for candidate in [encoding] if bom else ["utf-8", *_declared(body), "latin-1"]:
        text = _decode(body, candidate)
        if text is not None:
            return SourceFile(path, text, candidate, bom)
    raise UnusableFile(f"{path} is neither UTF-8 nor Latin-1 text; convert it to UTF-8, or name a text file")


def _declared(body: bytes) -> list[str]:
    """The encoding that a comment in the first two lines names, if Python knows it."""
    match = _DECLARED.search(b"\n".join(body.split(b"\n", 2)[:2]))
    try:
        return [codecs.lookup(match[1].decode("ascii")).name] if match else []
    except (LookupError, ValueError):
        return []


def _decode(body: bytes, encoding: str) -> str | None:
    """The text, if `encoding` restores these bytes unchanged and the result looks like text."""
    try:
        text = body.decode(encoding)
        if text.encode(encoding) != body:
            return None
    except (UnicodeError, LookupError):
        return None
    return None if encoding == "latin-1" and _CONTROLS.search(text) else text


def _replace(path: Path, content: bytes, old: bytes) -> None:
    if not os.access(path, os.W_OK):
        raise PermissionError(None, "permission denied")
    there = path.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        _write(descriptor, content)
        made = fresh.stat()
        if there.st_nlink == 1 and (made.st_uid, made.st_gid) == (there.st_uid, there.st_gid):
            fresh.chmod(there.st_mode & 0o7777)
            fresh.replace(path)
        else:
            _overwrite(path, content, old)
    finally:
        fresh.unlink(missing_ok=True)


def _overwrite(path: Path, content: bytes, old: bytes) -> None:
    """Write in place. If the disk is full, the old content comes back: its blocks are still there."""
    try:
        _write(os.open(path, os.O_WRONLY), content)
    except OSError:
        _write(os.open(path, os.O_WRONLY), old)
        raise


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
