"""A server on a thread and an event loop of its own that misbehaves when told to: HTTP, keys and the list of models.

`FakeVllm` and `FakeChat` say what it answers otherwise. Serves several connections at once.
"""

from __future__ import annotations

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Self, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Seen:
    """A request that came in: `aborted` if its connection was closed before it was answered."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    aborted: bool = False
    answered: bool = False


@dataclass(slots=True, kw_only=True)
class FakeServer(ABC):
    """`faults` are used up by the next requests for work, one each. `keys`: which of them are let in, all if there are
    none. `card`: what the list says of each model."""

    names: tuple[str, ...] = ("team/model",)
    lists: bool = True
    keys: set[str] = field(default_factory=set)
    port: int = 0
    faults: deque[str] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def card(self) -> dict[str, Any]:
        return {}

    @abstractmethod
    async def respond(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request for anything but the list of models."""

    async def refused(self, writer: asyncio.StreamWriter, fault: str) -> bool:
        """Whether the fault is the status of an answer, which is sent then: "307 URL", "400 WORDS", "429 SECONDS"."""
        if not fault.startswith(("3", "4", "5")):
            return False
        status, _, after = fault.partition(" ")
        said = after if status == "400" else "busy"
        await send(writer, int(status), {"error": {"message": said, "code": int(status)}}, after)
        return True

    async def unless_gone(self, seen: Seen, reader: asyncio.StreamReader, work: Awaitable[T]) -> T | None:
        """What the work gives; it is given up, and None, if the connection is closed before."""
        gone = asyncio.ensure_future(reader.read(1))  # nobody sends more before the answer: it is the end
        done = asyncio.ensure_future(work)
        try:
            await asyncio.wait({gone, done}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not done.done():
                seen.aborted = True
                done.cancel()
                await asyncio.wait({done})
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
        return None if seen.aborted else done.result()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def start(self) -> None:
        """On the same port as before, if it ran before."""
        up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(up)), name="fake-server", daemon=True)
        self._thread.start()
        assert up.wait(10)

    def stop(self) -> None:
        """At once: what runs is cut off."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(10)
        self._loop = self._thread = None

    def _end(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _serve(self, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        up.set()
        with suppress(asyncio.CancelledError):
            async with server:
                await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            while (request := await _read(reader)) is not None:
                await self._answer(request, reader, writer)
        writer.close()
        with suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async def _answer(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(seen)
        if self.keys and seen.path.startswith("/v1") and _key(seen) not in self.keys:
            await send(writer, 401, {"error": "Unauthorized"})
        elif seen.path == "/v1/models":
            listed = {"object": "list", "data": [{"id": name, "object": "model", **self.card} for name in self.names]}
            await send(writer, 200 if self.lists else 404, listed if self.lists else {"detail": "Not Found"})
        else:
            await self.respond(seen, reader, writer)


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    first = (await reader.readline()).decode()
    if not first.strip():
        return None
    _, path, _ = first.split(" ")
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(path, headers, json.loads(content) if content else {})


def _key(seen: Seen) -> str:
    return seen.headers.get("authorization", "").removeprefix("Bearer ")


async def send(writer: asyncio.StreamWriter, status: int, value: object, detail: str = "") -> None:
    content = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    if detail:
        head += f"{'Location' if status == 307 else 'Retry-After'}: {detail}\r\n"
    writer.write(head.encode() + b"\r\n" + content)
    await writer.drain()


async def begin_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await writer.drain()


async def stream(writer: asyncio.StreamWriter, said: Iterable[str], fault: str) -> None:
    """The events as server-sent ones: "garbage" and "deep" in their place, "endless" no events, "half" of the first."""
    if fault == "drop":
        raise ConnectionError
    if fault == "garbage":
        said = ["{not json", "[DONE]"]
    if fault == "deep":
        said = ["[" * 100_000, "[DONE]"]
    if fault == "endless":
        said = repeat("x" * 2**20)
    for event in said:
        if fault == "half":
            await send_chunk(writer, f"data: {event[: len(event) // 2]}")
            break
        await (send_chunk if fault == "endless" else send_event)(writer, event)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def send_event(writer: asyncio.StreamWriter, event: str) -> None:
    await send_chunk(writer, f"data: {event}\n\n")


async def send_chunk(writer: asyncio.StreamWriter, text: str) -> None:
    content = text.encode()
    writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
    await writer.drain()
