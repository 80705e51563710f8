"""Bytes in, bytes out: LSP frames over stdio or one loopback TCP connection.

Replaces pygls' own loops, which share a thread pool with handlers, lose the exit code and wait for a closed stdin.
Knows frames, not messages. Everything runs on the asyncio loop except reading stdin and writing to stdout: each needs a
daemon thread, because no portable way exists to wait for a pipe on the loop. A client that sends faster than it is
served has to wait; one that does not read is given up.

stdout belongs to the protocol: `claim_stdio` moves it to a private descriptor and points the public one to stderr, so
that no stray print, warning or native library corrupts the stream.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Protocol

from dgls.errors import BrokenFrame, PortUnavailable
from dgls.server.frames import LONGEST, Frames

LOOPBACK = "127.0.0.1"
CHUNK = 1 << 16
MOST_UNREAD = LONGEST
"""Bytes that wait for a client to read them."""

FLUSH_SECONDS = 0.5
"""How long the last messages may take to be written."""

_MOST_CHUNKS = 16  # of stdin that wait to be handled

# What a TCP client may cost before it is admitted.
_MOST_WAITING = 16
_LONGEST_FIRST = 1 << 20  # bytes; editors' longest `initialize` has 20,000
_ADMISSION_SECONDS = 10.0


class Writer(Protocol):
    """Takes the bytes that pygls' protocol sends."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Connection(Protocol):
    """Handles the frames of a connection."""

    def connected(self, writer: Writer) -> None: ...

    def received(self, body: bytes) -> None: ...

    def skipped(self) -> None: ...


class StdioWriter:
    """Writes whole messages to a descriptor, on a thread of its own. Calls `on_lost` there, once, if the other side
    closed the descriptor or leaves more than `most_unread` bytes in it; from then on it writes nothing."""

    def __init__(self, descriptor: int, on_lost: Callable[[], None], most_unread: int = MOST_UNREAD) -> None:
        self._descriptor, self._on_lost, self._most_unread = descriptor, on_lost, most_unread
        self._changed = threading.Condition()
        self._messages: deque[bytes] = deque()
        self._unread = 0
        self._lost = False
        threading.Thread(target=self._run, name=f"dgls-descriptor-{descriptor}", daemon=True).start()

    def write(self, data: bytes) -> None:
        with self._changed:
            if self._lost:
                return
            self._messages.append(data)
            self._unread += len(data)
            self._changed.notify_all()
            too_much = self._unread > self._most_unread
        if too_much:
            self._lose()

    def flush(self, seconds: float) -> None:
        """Wait until everything is written, at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._lost or not self._unread, seconds)

    def close(self) -> None:
        with self._changed:
            self._lost = True
            self._messages.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lost or self._messages)
                if self._lost:
                    return
                data = self._messages.popleft()
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError:
                self._lose()
                return
            with self._changed:
                self._unread -= len(data)
                self._changed.notify_all()

    def _lose(self) -> None:
        if not self._lost:
            self.close()
            self._on_lost()


class _TcpWriter:
    """Writes to a TCP client, and gives it up as `StdioWriter` does."""

    def __init__(self, stream: asyncio.StreamWriter, on_lost: Callable[[], None]) -> None:
        self._stream, self._on_lost = stream, on_lost

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        if self._stream.transport.get_write_buffer_size() > MOST_UNREAD:
            self._stream.transport.abort()
            self._on_lost()

    def close(self) -> None:
        self._stream.close()


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
    chunks: asyncio.Queue[bytes] = asyncio.Queue(_MOST_CHUNKS)

    def read() -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = os.read(incoming, CHUNK)
            except OSError:
                chunk = b""
            putting = chunks.put(chunk)
            try:
                asyncio.run_coroutine_threadsafe(putting, loop).result()
            except (RuntimeError, CancelledError):  # the loop is closed
                putting.close()
                return

    def lost() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(ended.set)

    writer = StdioWriter(outgoing, lost)
    connection.connected(writer)
    threading.Thread(target=read, name="dgls-stdin", daemon=True).start()
    try:
        await _until(ended, _pump(connection, chunks.get, ended, Frames()))
    finally:
        writer.flush(FLUSH_SECONDS)


async def serve_tcp(
    connection: Connection,
    ended: asyncio.Event,
    port: int,
    listening: Callable[[int], None],
    refusal: Callable[[bytes], bytes | None],
) -> None:
    """Serve one client on `port` of the loopback interface, the first that is admitted; 0 picks a free port.

    Calls `listening` with the port. `refusal` gets a client's first message and returns the answer that turns it away,
    or None. Ends when the client disconnects or `ended` is set. Raises `PortUnavailable`.
    """
    admitted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter, Frames, bytes]] = asyncio.Future()
    waiting = 0

    async def accept(reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> None:
        nonlocal waiting
        waiting += 1
        frames = Frames()
        body = None
        if not admitted.done() and waiting <= _MOST_WAITING:
            with suppress(OSError, TimeoutError, BrokenFrame):
                body = await asyncio.wait_for(_first(reader, frames), _ADMISSION_SECONDS)
        waiting -= 1
        if body is not None and (answer := refusal(body)) is not None:
            stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(answer), answer))
        elif body is not None and not admitted.done():
            admitted.set_result((reader, stream, frames, body))
            return
        stream.close()

    async def serve_admitted() -> None:
        reader, stream, frames, body = await admitted
        connection.connected(_TcpWriter(stream, ended.set))

        async def read() -> bytes:
            try:
                return await reader.read(CHUNK)
            except OSError:
                return b""

        await _handle(connection, [body], ended)
        await _handle(connection, frames.feed(b""), ended)
        await _pump(connection, read, ended, frames)

    try:
        server = await asyncio.start_server(accept, LOOPBACK, port)
    except (OSError, OverflowError) as error:
        raise PortUnavailable(f"Can't listen on port {port} ({error}): choose another one, or 0 for any.") from error
    listening(server.sockets[0].getsockname()[1])
    try:
        await _until(ended, serve_admitted())
    finally:
        server.close()
        if admitted.done():
            stream = admitted.result()[1]
            stream.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(stream.wait_closed(), FLUSH_SECONDS)


async def _first(reader: asyncio.StreamReader, frames: Frames) -> bytes | None:
    """A client's first message; None if it sends none, or too much before its end."""
    size = 0
    while size <= _LONGEST_FIRST and (chunk := await reader.read(CHUNK)):
        size += len(chunk)
        for body in frames.feed(chunk):
            return body
    return None


async def _pump(
    connection: Connection, read: Callable[[], Awaitable[bytes]], ended: asyncio.Event, frames: Frames
) -> None:
    while chunk := await read():
        await _handle(connection, frames.feed(chunk), ended)
        if ended.is_set():
            return


async def _handle(connection: Connection, bodies: Iterable[bytes | None], ended: asyncio.Event) -> None:
    for body in bodies:
        if ended.is_set():
            return
        if body is None:
            connection.skipped()
            continue
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
