"""The log on stderr, which the client may leave unread: then the log ends, and the server goes on.

A line may quote what a client sent, so its length is limited.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dgls.server.transport import FLUSH_SECONDS, StdioWriter

LONGEST_ENTRY = 4000
"""Characters. A traceback has some 2,000."""

_MOST_UNREAD = 1 << 20
_STDERR = 2


class _Handler(logging.Handler):
    def __init__(self, writer: StdioWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if len(text) > LONGEST_ENTRY:
            text = f"{text[: LONGEST_ENTRY // 2]} [...] {text[-LONGEST_ENTRY // 2 :]}"
        self._writer.write(f"{text}\n".encode("utf-8", "backslashreplace"))


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Write warnings and errors of all modules to stderr, on a thread of its own."""
    writer = StdioWriter(_STDERR, lambda: None, _MOST_UNREAD)
    handler = _Handler(writer)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(levelname)s %(name)s: %(message)s")
    try:
        yield
    finally:
        writer.flush(FLUSH_SECONDS)
