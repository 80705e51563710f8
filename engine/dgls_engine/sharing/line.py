"""A line between two processes: messages of bytes over a Unix socket, or over a named pipe on Windows.

The standard library's `multiprocessing.connection` frames the messages and, on Windows, opens the pipe; nothing is
pickled. Both ends prove that they know a key before they say anything else. On Unix a process that stops in the middle
of a message costs the other end `SECONDS`. Knows no messages. Any thread.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

SECONDS = 5.0
"""How long the other end may take to greet, and to send or take the rest of a message."""

LARGEST = 64 * 2**20
"""Bytes of a message. A request holds the text of a file."""

_WAITING = 64
"""Processes that wait to be let in."""


class LineEnded(Exception):
    """The other end is gone, or broke the rules."""


class Line:
    """One thread receives. Any thread may send or hang up."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._open = threading.Lock()

    def greet(self, key: bytes, seconds: float, *, first: bool) -> None:
        """Prove to each other to know the key; the end that is `first` asks first. Raises `LineEnded`, also if the
        other end does not begin within `seconds`."""
        try:
            for asks in (first, not first):
                if not (asks or self._connection.poll(seconds)):
                    raise LineEnded("the other end does not greet")
                (deliver_challenge if asks else answer_challenge)(self._connection, key)
        except (OSError, EOFError, AuthenticationError, AssertionError, ValueError) as error:
            raise LineEnded(str(error)) from None

    def send(self, message: bytes) -> None:
        """Raises `LineEnded`."""
        try:
            with self._sending:
                self._connection.send_bytes(message)
        except (OSError, ValueError) as error:
            self.hang_up()  # a part of the message may be sent
            raise LineEnded(str(error)) from None

    def receive(self, seconds: float | None) -> bytes | None:
        """None if nothing comes within `seconds`. Raises `LineEnded`."""
        try:
            return bytes(self._connection.recv_bytes(LARGEST)) if self._connection.poll(seconds) else None
        except (OSError, EOFError) as error:
            raise LineEnded(str(error)) from None

    def hang_up(self) -> None:
        """Wake the thread that receives, which then closes the line."""
        with self._open, suppress(OSError):
            if sys.platform == "win32":
                self._connection.close()
            else:
                with socket.fromfd(self._connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as end:
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._open, suppress(OSError):
            self._connection.close()


class Door:
    """Where a holder waits for guests. One thread waits; any thread may close it."""

    def __init__(self, address: str) -> None:
        """Raises `OSError`, for example where the address is too long."""
        self._address = address
        if sys.platform == "win32":
            self._listener = Listener(address, "AF_PIPE")
        else:
            Path(address).unlink(missing_ok=True)  # who opens the door has the lock: the file is a dead process's
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(address)
            self._socket.listen(_WAITING)
            self._file = Path(address).stat()

    def accept(self, seconds: float) -> Line | None:
        """None if nobody comes within `seconds`, or in an unbounded time on Windows. Raises `OSError` when it is
        closed."""
        if sys.platform == "win32":
            return Line(self._listener.accept())
        self._socket.settimeout(seconds)
        try:
            other, _ = self._socket.accept()
        except TimeoutError:
            return None
        return _line(other)

    @property
    def stands(self) -> bool:
        """Whether guests still find it: nobody removed or replaced the socket's file."""
        if sys.platform == "win32":
            return True
        try:
            return os.path.samestat(Path(self._address).stat(), self._file)
        except OSError:
            return False

    def close(self) -> None:
        with suppress(OSError):
            if sys.platform == "win32":
                Client(self._address, "AF_PIPE").close()  # wakes `accept`
                self._listener.close()
            else:
                if self.stands:
                    Path(self._address).unlink()
                self._socket.shutdown(socket.SHUT_RDWR)
        if sys.platform != "win32":
            self._socket.close()


def call(address: str) -> Line:
    """A line to the door at `address`. Raises `LineEnded` if nobody opens."""
    try:
        if sys.platform == "win32":
            return Line(Client(address, "AF_PIPE"))
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(SECONDS)
        try:
            end.connect(address)
        except OSError:
            end.close()
            raise
        return _line(end)
    except OSError as error:
        raise LineEnded(str(error)) from None


def _line(end: socket.socket) -> Line:
    end.settimeout(None)  # the system's own limits, which count for each call, go along with the descriptor
    limit = struct.pack("ll", int(SECONDS), 0)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        end.setsockopt(socket.SOL_SOCKET, option, limit)
    return Line(Connection(end.detach()))
