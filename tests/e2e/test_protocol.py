"""Malformed and unexpected messages: each request gets an answer, and the connection stays open."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.wire import Message, Wire, completion, fake_command, frame, serving

METHOD = "textDocument/inlineCompletion"
URI = "file:///a.py"
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
NOT_INITIALIZED = -32002


@asynccontextmanager
async def initialized() -> AsyncIterator[Wire]:
    async with serving(fake_command({"texts": ["1"]})) as server:
        await server.wire.initialize()
        await server.wire.status("ready")
        server.wire.open(URI, "x = \n")
        yield server.wire
        answer = await server.wire.request(METHOD, completion(URI, 0, 4))
        assert [item["insertText"] for item in answer["items"]] == ["1"], "the connection did not survive"


BAD_PARAMETERS: list[tuple[str, object]] = [
    (METHOD, completion(URI, 0, 4, kind=0)),
    (METHOD, completion(URI, 0, 4, kind=3)),
    (METHOD, completion(URI, -1, 4)),
    (METHOD, completion(URI, 0, 2**32)),
    (METHOD, {}),
    (METHOD, None),
    (METHOD, []),
    (METHOD, "text"),
    (METHOD, {**completion(URI, 0, 4), "position": {"line": "x", "character": 4}}),
    ("workspace/executeCommand", {"command": 3.5, "arguments": "x"}),
    ("workspace/executeCommand", {"command": "no such command"}),
]


async def test_request_with_undecodable_parameters_gets_an_error() -> None:
    async with initialized() as wire:
        for method, params in BAD_PARAMETERS:
            reply = await wire.reply(wire.ask(method, params))
            assert "error" in reply, params
            assert reply["error"]["code"] == INVALID_PARAMS, params
            assert reply["error"]["message"], params


async def test_request_of_an_unknown_method_gets_an_error() -> None:
    messages: list[Message] = [{}, {"params": None}, {"params": {"a": [1]}}, {"params": [1]}, {"extra": 1}]
    async with initialized() as wire:
        for number, message in enumerate(messages):
            wire.send({"id": f"string {number}", "method": "dgls/nonsense", **message})
            reply = await wire.reply(f"string {number}")
            assert reply["error"]["code"] == METHOD_NOT_FOUND, message


async def test_unknown_and_undecodable_notifications_are_ignored() -> None:
    async with initialized() as wire:
        wire.notify("$/nonsense", {"a": 1})
        wire.send({"method": "dgls/nonsense"})
        wire.notify("$/cancelRequest", {"id": "never asked"})
        wire.notify("$/cancelRequest", {})
        wire.notify("textDocument/didChange", {"textDocument": 3})
        wire.notify("textDocument/didOpen", None)
        wire.notify("window/workDoneProgress/cancel", {"token": "no such token"})
        assert [message for message in wire.heard if message["method"] == "window/showMessage"] == []


async def test_body_that_is_no_message_gets_an_error() -> None:
    bodies = [b"{", b"\xff\xfe", b"[]", b"3", b'{"id": 9}', b'{"method": "x", "id": 9}', b"null"]
    async with initialized() as wire:
        for body in bodies:
            wire.write(frame(body))
            expected = 9 if b"method" in body else None
            reply = await wire.reply(expected)
            assert reply["error"]["code"] in (PARSE_ERROR, INVALID_REQUEST), body
            del wire.replies[expected]


async def test_answer_without_a_waiting_request_is_ignored() -> None:
    async with initialized() as wire:
        wire.send({"id": "never asked", "result": {"x": 1}}, {"id": "nor this", "error": {"code": 1, "message": "no"}})
        wire.send({"id": "broken", "error": "no object"})


async def test_parameters_that_look_like_a_message_are_plain_values() -> None:
    async with initialized() as wire:
        params = {"settings": {"dgls": {"jsonrpc": "2.0", "id": 1, "method": "exit"}}}
        wire.notify("workspace/didChangeConfiguration", params)


async def test_request_before_initialize_gets_an_error() -> None:
    async with serving(fake_command({})) as server:
        wire = server.wire
        for method in (METHOD, "shutdown", "dgls/nonsense"):
            assert (await wire.reply(wire.ask(method)))["error"]["code"] == NOT_INITIALIZED
        wire.open(URI, "x = \n")
        await wire.initialize()
        await wire.status("ready")
        assert await wire.request(METHOD, completion(URI, 0, 4)) == {
            "items": []
        }  # the didOpen before `initialize` was ignored


async def test_initialize_can_be_repeated_after_an_error_only() -> None:
    async with serving(fake_command({})) as server:
        wire = server.wire
        assert (await wire.reply(wire.ask("initialize", {"capabilities": 3})))["error"]["code"] == INVALID_PARAMS
        await wire.initialize()
        again = {"processId": None, "rootUri": None, "capabilities": {}}
        assert (await wire.reply(wire.ask("initialize", again)))["error"]["code"] == INVALID_REQUEST


async def test_request_after_shutdown_gets_an_error() -> None:
    async with serving(fake_command({})) as server:
        await server.wire.initialize()
        await server.wire.request("shutdown")
        for method in (METHOD, "shutdown", "initialize"):
            assert (await server.wire.reply(server.wire.ask(method)))["error"]["code"] == INVALID_REQUEST


async def test_another_protocol_on_stdin_ends_the_server_with_one_line() -> None:
    async with serving([sys.executable, "-P", "-m", "dgls", "serve"]) as server:
        server.wire.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await server.exit_code(10) == 2
        assert server.stderr.count(b"\n") == 1
        assert b"speak LSP" in server.stderr
