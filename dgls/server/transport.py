"""Bytes in, bytes out: LSP frames over stdio or one loopback TCP connection.

Replaces pygls' own loops, which share a thread pool with handlers, lose the exit code and wait for a closed stdin.
Knows frames, not messages. Everything runs on the asyncio loop except the reading of stdin: that needs a daemon thread,
because no portable way exists to wait for a pipe on the loop.

stdout belongs to the protocol: `claim_stdio` moves it to a private descriptor and points the public one to stderr, so
that no stray print, warning or native library corrupts the stream.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Protocol

from dgls.errors import BrokenFrame, PortUnavailable

LOOPBACK = "127.0.0.1"
CHUNK = 1 << 16
HEADER_LIMIT = 1 << 14
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*$", re.IGNORECASE | re.MULTILINE)


class Writer(Protocol):
    """Takes the bytes that pygls' protocol sends."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Connection(Protocol):
    """Handles the frames of a connection."""

    def connected(self, writer: Writer) -> None: ...

    def received(self, body: bytes) -> None: ...


class Frames:
    """Cuts a byte stream into message bodies; its chunks may end anywhere."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._length: int | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The bodies that `chunk` completes. Raises `BrokenFrame` if a header has no length."""
        self._bytes += chunk
        while (body := self._next()) is not None:
            yield body

    def _next(self) -> bytes | None:
        if self._length is None:
            end = self._bytes.find(b"\r\n\r\n")
            if end < 0:
                if len(self._bytes) > HEADER_LIMIT:
                    raise BrokenFrame(
                        "The client sends no LSP messages (no header ends): speak LSP to this port or pipe."
                    )
                return None
            header = bytes(self._bytes[:end]).replace(b"\r\n", b"\n")
            match = _LENGTH.search(header)
            if match is None:
                raise BrokenFrame(f"The client sent a header without Content-Length: {header[:80]!r}; speak LSP.")
            self._length = int(match.group(1))
            del self._bytes[: end + 4]
        if len(self._bytes) < self._length:
            return None
        body = bytes(self._bytes[: self._length])
        del self._bytes[: self._length]
        self._length = None
        return body


class StdioWriter:
    """Writes whole messages to a descriptor. Calls `on_lost` once if the other side closed it."""

    def __init__(self, descriptor: int, on_lost: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_lost = on_lost
        self._lost = False

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._lost:
            try:
                view = view[os.write(self._descriptor, view) :]
            except OSError:
                self._lost = True
                self._on_lost()

    def close(self) -> None:
        self._lost = True


def claim_stdio() -> tuple[int, int]:
    """Take stdin and stdout for the protocol: (descriptor to read, descriptor to write).

    Other code then reads an empty stdin, and what it writes to stdout goes to stderr.
    """
    sys.stdout.flush()
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing


async def serve_stdio(connection: Connection, ended: asyncio.Event, incoming: int, outgoing: int) -> None:
    """Handle frames until `ended` is set, stdin ends or stdout breaks."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = os.read(incoming, CHUNK)
            except OSError:
                chunk = b""
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            except RuntimeError:  # the loop is closed
                return

    connection.connected(StdioWriter(outgoing, ended.set))
    threading.Thread(target=read, name="dgls-stdin", daemon=True).start()
    await _until(ended, _pump(connection, chunks, ended))


async def serve_tcp(
    connection: Connection,
    ended: asyncio.Event,
    port: int,
    listening: Callable[[int], None],
) -> None:
    """Serve the first client that connects to `port` of the loopback interface; 0 picks a free one.

    Calls `listening` with the port. Ends when the client disconnects or `ended` is set. Raises `PortUnavailable`.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    first: asyncio.Future[asyncio.BaseTransport] = loop.create_future()
    try:
        server = await loop.create_server(lambda: _Client(connection, chunks, first), LOOPBACK, port)
    except (OSError, OverflowError) as error:
        raise PortUnavailable(f"Can't listen on port {port} ({error}): choose another one, or 0 for any.") from error
    listening(server.sockets[0].getsockname()[1])
    try:
        await _until(ended, _pump(connection, chunks, ended))
    finally:
        server.close()
        if first.done():
            first.result().close()
            await asyncio.sleep(0)


class _Client(asyncio.Protocol):
    """A TCP client. Only the first one is served; any other is disconnected."""

    def __init__(
        self,
        connection: Connection,
        chunks: asyncio.Queue[bytes],
        first: asyncio.Future[asyncio.BaseTransport],
    ) -> None:
        self._connection = connection
        self._chunks = chunks
        self._first = first
        self._served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._first.done():
            transport.close()
            return
        self._served = True
        self._first.set_result(transport)
        self._connection.connected(transport)

    def data_received(self, data: bytes) -> None:
        if self._served:
            self._chunks.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._served:
            self._chunks.put_nowait(b"")


async def _pump(connection: Connection, chunks: asyncio.Queue[bytes], ended: asyncio.Event) -> None:
    frames = Frames()
    while chunk := await chunks.get():
        for body in frames.feed(chunk):
            if ended.is_set():
                return
            connection.received(body)
            # An async handler starts only when the loop turns. It must take its snapshot of the text before the next
            # message, which may be an edit, is applied.
            await asyncio.sleep(0)


async def _until(ended: asyncio.Event, pump: Coroutine[None, None, None]) -> None:
    """Run `pump` until it returns or `ended` is set. Raises its errors."""
    tasks = {asyncio.create_task(pump), asyncio.create_task(ended.wait())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
