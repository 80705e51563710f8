"""Faults of the pipes: their ends, their speed and what comes through them; and signals."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from dgls.server.transport import MOST_UNREAD
from tests.e2e.wire import completion, frame, insertion, serving
from tests.stress.expectation import (
    INLINE,
    PATIENCE,
    SERVE,
    URI,
    NotHeld,
    PatientWire,
    answers,
    ended,
    expect,
    last_line,
    leaves,
    megabytes,
    started,
)

LENGTHS = (
    b"Content-Length: -5\r\n\r\n",
    b"Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}",
    b"Content-Length:\r\n\r\n",
    b"content-LENGTH : 2\r\n\r\n{}",
    b"Content-Length: 2; x\r\n\r\n{}",
    b"\r\n\r\n",
    b"Content-Length: 0\r\n\r\n",
    b"Content-Length: 2\n\n{}",
    b"X-Content-Length: 5\r\n\r\n",
    b"Content-Type: a\r\nContent-Length: 2\r\n\r\n{}",
)


async def end_of_stdin_while_idle() -> str:
    """The server ends with 1."""
    async with started() as server:
        _end_stdin(server.process)
        return await ended(server, (1,))


async def end_of_stdin_while_busy() -> str:
    """The server ends with 1."""
    async with started() as server:
        server.wire.ask(INLINE, completion(URI, 2, 4, kind=1))
        await asyncio.sleep(0.05)
        _end_stdin(server.process)
        return await ended(server, (1,))


async def signals() -> str:
    """Each that ends a process ends the server, even a busy one, without a traceback."""
    seen = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        async with started() as server:
            server.wire.ask(INLINE, completion(URI, 2, 4, kind=1))
            server.process.send_signal(number)
            seen.append(f"{number.name}: {await ended(server, (-number, 130))}")
    async with started() as server:
        server.process.send_signal(signal.SIGPIPE)
        await answers(server)
        seen.append("SIGPIPE: serves on")
    return ", ".join(seen)


async def slow_reader() -> str:
    """A client that does not read is given up when 256 MB wait for it; the memory holds no more than that."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *SERVE, stdin=asyncio.subprocess.PIPE, stdout=writing, stderr=asyncio.subprocess.DEVNULL
    )
    os.close(writing)
    assert process.stdin is not None
    process.stdin.write(frame({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"capabilities": {}}}))
    asked = frame({"jsonrpc": "2.0", "id": "i" * 100_000, "method": "x/y"})
    sent = 0
    try:
        while sent < 2 * MOST_UNREAD // 100_000:
            sent += 1
            process.stdin.write(asked)
            await asyncio.wait_for(process.stdin.drain(), PATIENCE)
        raise NotHeld(f"still running after {sent} answers of 100 kB")
    except ConnectionError:
        code = await asyncio.wait_for(process.wait(), PATIENCE)
    finally:
        os.close(reading)
        if process.returncode is None:
            process.kill()
    expect(code == 1 and sent * 100_000 > MOST_UNREAD / 2, f"exit code {code} after {sent} messages")
    return f"exit code {code} after {sent} answers of 100 kB"


async def odd_lengths() -> str:
    """Each header is read, or ends the server with 2 and a last word, at the latest when the client sends on."""
    served = []
    for header in LENGTHS:
        async with serving(SERVE, wire=PatientWire) as server:
            await server.wire.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
            server.wire.write(header)
            server.wire.ask("x/ping")
            asked = server.wire.ask("x/ping")
            reply, end = asyncio.create_task(server.wire.reply(asked)), asyncio.create_task(server.process.wait())
            await asyncio.wait({reply, end}, timeout=SERVED_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            expect(reply.done() or end.done(), f"{header!r}: neither answered nor ended")
            served.append(reply.done())
            reply.cancel()
            if end.done():
                await ended(server, (2,))
                expect(last_line(server).startswith("dgls: The client sent"), last_line(server))
    return f"{sum(served)} read, {len(served) - sum(served)} ended the server"


async def length_that_never_comes() -> str:
    """300 MB of a message of 10^11 bytes are skipped, not kept."""
    async with started() as server:
        before = megabytes(server)
        server.wire.write(b"Content-Length: 99999999999\r\n\r\n")
        assert server.process.stdin is not None
        for _ in range(300):
            server.wire.write(b"x" * 1_000_000)
            await server.process.stdin.drain()
        after = megabytes(server)
        expect(after < before + 100, f"{before} MB, then {after} MB")
        _end_stdin(server.process)
        return f"{before} MB, then {after} MB, {await ended(server, (1,))}"


async def line_of_50_mb() -> str:
    """It is opened, asked about and edited; other requests are answered; the memory is given back."""
    uri, middle = "file:///big.py", 25 << 20
    async with started() as server:
        wire, before = server.wire, megabytes(server)
        begun = time.monotonic()
        wire.open(uri, "x" * (50 << 20))
        await wire.request(INLINE, completion(uri, 0, middle))
        await answers(server, uri, 0, middle)
        for version in range(2, 7):
            wire.notify("textDocument/didChange", insertion(uri, version, 0, middle, "y"))
            await wire.request(INLINE, completion(uri, 0, middle + 1))
        took, most = time.monotonic() - begun, megabytes(server)
        wire.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        await answers(server)
        after = megabytes(server)
        expect(after < before + 150, f"{before} MB, {most} MB, closed {after} MB")
        await leaves(server)
        return f"{took:.1f} s; {before} MB, {most} MB, closed {after} MB"


SERVED_WITHIN = 10.0


def _end_stdin(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()


ALL = (
    end_of_stdin_while_idle,
    end_of_stdin_while_busy,
    signals,
    slow_reader,
    odd_lengths,
    length_that_never_comes,
    line_of_50_mb,
)
