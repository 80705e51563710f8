"""What the faults share: the server's command, a client that waits long, and how a fault says that something broke."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil

from tests.e2e.wire import Server, Wire, completion, serving

SERVE = [sys.executable, "-P", "-m", "dgls", "serve"]
URI, TEXT = "file:///a.py", "def f(a, b):\n    x = a + b\n    \n\nprint(f(1, 2))\n"
INLINE = "textDocument/inlineCompletion"
PATIENCE = 60.0
"""Seconds; the machine may be busy."""
SOON = 8.0


class NotHeld(AssertionError):
    """The server did what it must not do."""


class PatientWire(Wire):
    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(holds), PATIENCE)


def expect(holds: bool, seen: object) -> None:
    """Raises `NotHeld` with what was seen instead."""
    if not holds:
        raise NotHeld(str(seen))


def limited(limit: str, command: list[str] = SERVE) -> list[str]:
    """The command under one of the shell's limits, such as "-n 16"."""
    return ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *command]


@asynccontextmanager
async def started(command: list[str] = SERVE, ready: bool = True) -> AsyncIterator[Server]:
    """A server with one open file, whose model is loaded if it is to be `ready`."""
    async with serving(command, wire=PatientWire) as server:
        await server.wire.initialize()
        if ready:
            await server.wire.status("ready")
        server.wire.open(URI, TEXT)
        yield server


async def ended(server: Server, codes: tuple[int, ...], seconds: float = SOON) -> str:
    """Wait for the server's end with one of these exit codes, and without a traceback."""
    try:
        code = await server.exit_code(seconds)
    except TimeoutError:
        raise NotHeld(f"still running after {seconds:.0f} s") from None
    expect(code in codes, f"exit code {code}: {last_line(server)}")
    expect(b"Traceback" not in server.stderr, server.stderr[-500:])
    return f"exit code {code}"


async def answers(server: Server, uri: str = URI, line: int = 2, character: int = 4) -> list[Any]:
    """What the server suggests when asked."""
    result = await server.wire.request(INLINE, completion(uri, line, character, kind=1))
    items: list[Any] = result["items"]
    return items


async def leaves(server: Server) -> None:
    """Shut the server down; it must end with 0."""
    await server.wire.request("shutdown")
    server.wire.notify("exit")
    await ended(server, (0,))


def megabytes(server: Server) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss) >> 20


def last_line(server: Server) -> str:
    return (server.stderr.decode(errors="replace").strip().splitlines() or [""])[-1][:200]
