"""Cuts a stream of bytes into LSP message bodies. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgls.errors import BrokenFrame

HEADER_LIMIT = 1 << 14
LONGEST = 1 << 28
"""Bytes of the longest message that is read. Editors send files whole, and JSON may take six bytes for a character."""

_MOST_DIGITS = 12
_LENGTH = re.compile(rb"^content-length:[ \t]*0*(\d+)[ \t]*$", re.IGNORECASE | re.MULTILINE)


class Frames:
    """The bodies of a byte stream, whose chunks may end anywhere. None stands for a body that is too long to read."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._length: int | None = None
        self._skipping = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """The bodies that `chunk` completes. Raises `BrokenFrame` if a header has no length, or one that cannot be."""
        self._bytes += chunk
        while self._skip() and self._has_header():
            assert self._length is not None
            if self._length > LONGEST:
                self._skipping, self._length = self._length, None
                yield None
            elif len(self._bytes) < self._length:
                return
            else:
                body = bytes(self._bytes[: self._length])
                del self._bytes[: self._length]
                self._length = None
                yield body

    def _skip(self) -> bool:
        """Drop the bytes that are to be skipped. Returns whether all of them have come."""
        here = min(self._skipping, len(self._bytes))
        del self._bytes[:here]
        self._skipping -= here
        return not self._skipping

    def _has_header(self) -> bool:
        """Read the next header, unless it is known already. Returns whether there is one."""
        if self._length is not None:
            return True
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0:
            if len(self._bytes) > HEADER_LIMIT:
                raise BrokenFrame("The client sends no LSP messages (no header ends): speak LSP to this port or pipe.")
            return False
        header = bytes(self._bytes[:end]).replace(b"\r\n", b"\n")
        match = _LENGTH.search(header)
        if match is None or len(match[1]) > _MOST_DIGITS:
            what = "without Content-Length" if match is None else "with an impossible Content-Length"
            raise BrokenFrame(f"The client sent a header {what}: {header[:80]!r}; speak LSP.")
        self._length = int(match[1])
        del self._bytes[: end + 4]
        return True
