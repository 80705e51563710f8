"""Faults of the TCP port: taken or odd ports, and clients that are no editors."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dgls.server.transport import MOST_UNREAD
from tests.e2e.wire import Server, frame, serving
from tests.stress.expectation import PATIENCE, SERVE, PatientWire, ended, expect


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


async def garbage() -> str:
    """The server ends with 2 and one line."""
    return await _ended_by(os.urandom(200_000))


async def browser() -> str:
    """The same."""
    return await _ended_by(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def editor_that_is_gone() -> str:
    """The server ends with 1 when its client disconnects."""
    async with _listening() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frame({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"capabilities": {}}}))
        await reader.read(20)
        writer.transport.abort()
        return await ended(server, (1,))


async def slow_tcp_reader() -> str:
    """A client that does not read is given up when 256 MB wait for it."""
    async with _listening() as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(frame({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"capabilities": {}}}))
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


async def _ended_by(data: bytes) -> str:
    async with _listening() as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        code = await ended(server, (2,))
        expect(server.stderr.count(b"\n") == 2, server.stderr)
        writer.close()
        return code


@asynccontextmanager
async def _listening() -> AsyncIterator[tuple[Server, int]]:
    async with serving([*SERVE, "--tcp", "0"], wire=PatientWire) as server:
        async with asyncio.timeout(PATIENCE):
            while (told := re.search(rb"listens on 127\.0\.0\.1:(\d+)", server.stderr)) is None:
                await asyncio.sleep(0.02)
        yield server, int(told[1])


ALL = (port_in_use, odd_ports, garbage, browser, editor_that_is_gone, slow_tcp_reader)
