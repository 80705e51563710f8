"""`dgls serve --tcp`: one client, the one with the token. All others are turned away and cost nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.e2e.wire import PATIENCE, Server, Wire, fake_command, frame, serving

TOKEN = "a token of the test's own"


@asynccontextmanager
async def listening(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Server, int]]:
    """A server on a TCP port, whose token is `TOKEN`."""
    monkeypatch.setenv("DGLS_TCP_TOKEN", TOKEN)
    async with serving([*fake_command({}), "--tcp", "0"]) as server:
        await server.says(b"listens on 127.0.0.1:")
        yield server, int(server.stderr.split(b"127.0.0.1:")[1].split()[0])


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield Wire(reader, writer.write)
    writer.close()


async def use(server: Server, wire: Wire, token: str) -> None:
    await wire.initialize({"initializationOptions": {"tcpToken": token}})
    await wire.status("ready")
    await wire.request("shutdown")
    wire.notify("exit")
    assert await server.exit_code(PATIENCE) == 0


async def turned_away(port: int, *chunks: bytes) -> bytes:
    """What a client hears that is not the one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(OSError):
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
    heard = b""
    with suppress(OSError):
        heard = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return heard


async def test_tcp_serves_one_client_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(monkeypatch) as (server, port), connected(port) as wire:
        await wire.initialize({"initializationOptions": {"dgls": {"tcpToken": TOKEN}}})
        await wire.status("ready")
        assert await turned_away(port) == b""
        await wire.request("shutdown")
        wire.notify("exit")
        assert await server.exit_code(PATIENCE) == 0
        assert TOKEN.encode() not in server.stderr


async def test_tcp_without_a_token_of_the_users_own_makes_one() -> None:
    async with serving([*fake_command({}), "--tcp", "0"]) as server:
        await server.says(b"initializationOptions")
        port = int(server.stderr.split(b"127.0.0.1:")[1].split()[0])
        async with connected(port) as wire:
            await use(server, wire, server.stderr.split(b'"tcpToken": "')[1].split(b'"')[0].decode())


async def test_tcp_refuses_a_token_that_can_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGLS_TCP_TOKEN", "")
    async with serving([sys.executable, "-P", "-m", "dgls", "serve", "--tcp", "0"]) as server:
        assert await server.exit_code(PATIENCE) == 2
        assert b"DGLS_TCP_TOKEN needs at least 16 characters" in server.stderr


def opening(method: str = "initialize", options: object = None) -> bytes:
    return frame({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"initializationOptions": options}})


async def test_tcp_turns_away_who_has_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(monkeypatch) as (server, port):
        for wrong in (None, [TOKEN], TOKEN[:-1], "é", ""):
            heard = await turned_away(port, opening(options={"tcpToken": wrong}))
            assert b"-32600" in heard, wrong
            assert b"tcpToken" in heard, wrong
        assert b"-32600" in await turned_away(port, opening(options=None))
        assert b"-32600" in await turned_away(port, opening("shutdown", {"tcpToken": TOKEN}))
        for body in (b"null", b"[", b"[" * 100_000, b'{"method": "initialize", "params": []}'):
            assert b"-32600" in await turned_away(port, frame(body)), body[:40]
        page = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        for chunks in (
            [b"GET / HTTP/1.1\r\n\r\n"],
            [b"\x00" * 100_000],
            [b"Content-Length: 9999999\r\n\r\n", *[b" " * 100_000] * 20],
        ):
            assert await turned_away(port, *chunks) == b""
        assert b"-32600" in await turned_away(port, page)
        async with connected(port) as wire:
            await use(server, wire, TOKEN)


async def test_tcp_waits_for_the_one_while_others_keep_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(monkeypatch) as (server, port):
        _, probe = await asyncio.open_connection("127.0.0.1", port)
        probe.close()
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        async with connected(port) as wire:
            await use(server, wire, TOKEN)
        silent.close()
