"""Faults of the TCP port: taken or odd ports, and clients that go or do not read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dgls.server.transport import MOST_UNREAD
from tests.e2e.wire import Server, frame, serving
from tests.stress.expectation import PATIENCE, SERVE, PatientWire, ended, expect

TOKEN = "a token that nobody guesses"
INITIALIZE = frame(
    {
        **{"jsonrpc": "2.0", "id": 0, "method": "initialize"},
        "params": {"capabilities": {}, "initializationOptions": {"tcpToken": TOKEN}},
    }
)


async def port_in_use() -> str:
    """The second server ends with 2 and one line that names the port."""
    async with _listening() as (_, port), serving([*SERVE, "--tcp", str(port)], wire=PatientWire) as second:
        code = await ended(second, (2,), PATIENCE)
        expect(str(port).encode() in second.stderr and second.stderr.count(b"\n") == 1, second.stderr)
        return code


async def odd_ports() -> str:
    """Each ends the command with 2 and tells what a port is."""
    for port in ("0.0.0.0:5000", "-1", "70000", "x", ""):
        async with serving([*SERVE, f"--tcp={port}"], wire=PatientWire) as server:
            await ended(server, (2,), PATIENCE)
            expect(b"port" in server.stderr or b"--tcp" in server.stderr, server.stderr)
    return "exit code 2"


async def editor_that_is_gone() -> str:
    """The server ends with 1 when its client disconnects."""
    async with _listening() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(INITIALIZE)
        await reader.read(20)
        writer.transport.abort()
        return await ended(server, (1,))


async def slow_tcp_reader() -> str:
    """A client that does not read is given up when 256 MB wait for it."""
    async with _listening() as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(INITIALIZE)
        asked, sent = frame({"jsonrpc": "2.0", "id": "i" * 100_000, "method": "x/y"}), 0
        try:
            while sent < 2 * MOST_UNREAD // 100_000:
                sent += 1
                writer.write(asked)
                await asyncio.wait_for(writer.drain(), PATIENCE)
        except ConnectionError:
            pass
        expect(sent * 100_000 > MOST_UNREAD / 2, f"only {sent} messages")
        return f"{await ended(server, (1,))} after {sent} answers of 100 kB"


@asynccontextmanager
async def _listening() -> AsyncIterator[tuple[Server, int]]:
    async with serving(["env", f"DGLS_TCP_TOKEN={TOKEN}", *SERVE, "--tcp", "0"], wire=PatientWire) as server:
        async with asyncio.timeout(PATIENCE):
            while (told := re.search(rb"listens on 127\.0\.0\.1:(\d+)", server.stderr)) is None:
                await asyncio.sleep(0.02)
        yield server, int(told[1])


ALL = (port_in_use, odd_ports, editor_that_is_gone, slow_tcp_reader)
