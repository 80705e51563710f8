"""Which clients get the completion feature announced: those without ghost text, and those with the setting on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dgls.server.lsp_server import build
from tests.e2e.acting import recorded
from tests.server.test_session import never

MENU = ("eglot", "helix")
GHOST_TEXT = ("lsp-mode", "neovim", "vscode")
CLIENTS = [*MENU, *GHOST_TEXT]
DECLARED: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}


class Kept:
    """A writer that keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def write(self, data: bytes) -> None:
        self.messages.append(json.loads(data.partition(b"\r\n\r\n")[2]))

    def close(self) -> None: ...


async def result(kept: Kept, id: int) -> Any:
    async with asyncio.timeout(5):
        while not (replies := [each for each in kept.messages if each.get("id") == id]):
            await asyncio.sleep(0)
    return replies[0]["result"]


async def announced(params: dict[str, Any], options: object = None) -> bool:
    server, kept = build(never), Kept()
    server.conversation.connected(kept)
    given = {"capabilities": {}, "rootUri": None, **params, "initializationOptions": options}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": given}
    server.conversation.received(json.dumps(message).encode())
    capabilities = (await result(kept, 1))["capabilities"]
    server.session.close(0)
    assert "inlineCompletionProvider" in capabilities
    return capabilities.get("completionProvider") is not None


@pytest.mark.parametrize("client", CLIENTS)
async def test_initialize_of_a_recorded_client_announces_completion_to_menu_clients_only(client: str) -> None:
    assert await announced(recorded(client)) == (client in MENU)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("setting", "expected"), [("on", True), ("off", False)])
async def test_initialize_with_the_completion_setting_overrides_the_default(
    client: str, setting: str, expected: bool
) -> None:
    assert await announced(recorded(client), {"dgls": {"completion": setting}}) == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, False),
        ({"clientInfo": {"name": "something new"}}, False),
        ({"clientInfo": {"name": "helix"}}, True),
        ({"clientInfo": {"name": "helix"}, "capabilities": DECLARED}, False),
    ],
)
async def test_initialize_of_an_unknown_client_or_one_with_inline_completion_announces_none(
    params: dict[str, Any], expected: bool
) -> None:
    assert await announced(params) == expected


@pytest.mark.parametrize("registers", [True, False])
async def test_settings_after_initialize_that_turn_completion_on_register_it_where_the_client_can(
    registers: bool,
) -> None:
    server, kept = build(never), Kept()
    server.conversation.connected(kept)

    def send(method: str, **message: Any) -> None:
        server.conversation.received(json.dumps({"jsonrpc": "2.0", "method": method, **message}).encode())

    capabilities = {"textDocument": {"completion": {"dynamicRegistration": registers}}}
    send("initialize", id=1, params={"capabilities": capabilities, "rootUri": None})
    await result(kept, 1)
    settings = {"dgls": {"completion": "on", "inlineCompletion": {"enabled": False}}}
    send("workspace/didChangeConfiguration", params={"settings": settings})
    at = {"textDocument": {"uri": "file:///a.py"}, "position": {"line": 0, "character": 0}}
    async with asyncio.timeout(5):
        while server.session.settings.completion != "on":
            await asyncio.sleep(0)
    send("textDocument/completion", id=2, params=at)
    answer = await result(kept, 2)
    server.session.close(0)
    assert answer == {"isIncomplete": True, "items": []}
    registrations = [each for each in kept.messages if each.get("method") == "client/registerCapability"]
    assert len(registrations) == registers
