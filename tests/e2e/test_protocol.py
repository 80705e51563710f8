"""Malformed and unexpected messages: each request gets an answer, and the connection stays open."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dgls.server.frames import LONGEST
from tests.e2e.forked import scripted
from tests.e2e.wire import Message, Wire, completion, frame, insertion, serving

METHOD = "textDocument/inlineCompletion"
URI = "file:///a.py"
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
NOT_INITIALIZED = -32002


@asynccontextmanager
async def initialized() -> AsyncIterator[Wire]:
    async with scripted({"texts": ["1"]}) as server:
        await server.wire.initialize()
        await server.wire.status("ready")
        server.wire.open(URI, "x = \n")
        yield server.wire
        answer = await server.wire.request(METHOD, completion(URI, 0, 4))
        assert [item["insertText"] for item in answer["items"]] == ["1"], "the connection did not survive"


BAD_PARAMETERS: list[tuple[str, object]] = [
    (METHOD, completion(URI, 0, 4, kind=3)),
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


INFO: Message = {"text": "", "range": [{"line": 0, "character": 4}, {"line": 0, "character": 4}]}
LENIENT: list[Message] = [
    completion(URI, 0, 4, kind=0),
    completion(URI, 0, 2**40),
    {**completion(URI, 0, 4), "context": None},
    {name: value for name, value in completion(URI, 0, 4).items() if name != "context"},
    {**completion(URI, 0, 4), "context": {"triggerKind": 2, "selectedCompletionInfo": INFO}},
    {**completion(URI, 0, 4), "position": {"line": 0.0, "character": 4.0}},
]


async def test_request_as_shipped_clients_send_it_is_answered() -> None:
    async with initialized() as wire:
        for params in LENIENT:
            assert (await wire.request(METHOD, params))["items"], params


START, END = {"line": 0, "character": 0}, {"line": 0, "character": 0}
LAST = {"line": 9, "character": 2**40}
CHANGES: list[tuple[Message, list[Message], str]] = [
    ({"version": None}, [{"text": "x = \ny = \n"}], "followed"),
    ({}, [{"text": "x = \ny = \n"}], "followed"),
    ({"version": 2}, [{"range": None, "text": "x = \ny = \n"}], "followed"),
    ({"version": 2}, [{"range": {"start": START, "end": LAST}, "text": "x = \ny = \n"}], "followed"),
    ({"version": 2}, [{"range": [{"line": 1, "character": 0}, LAST], "text": "y = \n"}], "followed"),
    ({"version": 2}, [{"range": 5, "text": "y = \n"}], "lost"),
    ({"version": 2}, [{"range": {"start": START}, "text": "y = \n"}], "lost"),
    ({"version": "two"}, [{"text": "x = \ny = \n"}], "lost"),
    ({"version": 2}, [{"range": {"start": START, "end": END}, "text": None}], "lost"),
    ({"version": 2}, None, "lost"),  # type: ignore[list-item]
    ({"uri": 3, "version": 2}, [{"text": "x = \ny = \n"}], "lost"),
]


@pytest.mark.parametrize(("version", "changes", "fate"), CHANGES)
async def test_change_is_followed_or_its_document_is_quiet_until_its_whole_text_arrives(
    version: Message, changes: list[Message], fate: str
) -> None:
    async with initialized() as wire:
        for _ in range(2):
            wire.notify("textDocument/didChange", {"textDocument": {"uri": URI, **version}, "contentChanges": changes})
        items = (await wire.request(METHOD, completion(URI, 1, 4)))["items"]
        warnings = [each for each in wire.heard if each["method"] == "window/showMessage"]
        assert (bool(items), len(warnings)) == ((True, 0) if fate == "followed" else (False, 1))
        insert = insertion(URI, 3, 1, 0, "a = 1\n")
        wire.notify("textDocument/didChange", insert)
        assert bool((await wire.request(METHOD, completion(URI, 2, 4)))["items"]) == (fate == "followed")
        whole = {"textDocument": {"uri": URI, "version": 4}, "contentChanges": [{"text": "x = \n"}]}
        wire.notify("textDocument/didChange", whole)


ODD: dict[str, bytes] = {
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep parameters": b'{"jsonrpc":"2.0","id":"odd","method":"x/y","params":%s1%s}'
    % (b'{"a":' * 20_000, b"}" * 20_000),
    "as deep as json reads": b'{"jsonrpc":"2.0","id":"odd","method":"x/y","params":%s1%s}' % (b"[" * 950, b"]" * 950),
    "a number of many digits": b'{"jsonrpc":"2.0","id":"odd","method":"x/y","params":%s}' % (b"9" * 100_000),
    "an id that is a list": b'{"jsonrpc":"2.0","id":[],"method":"x/y"}',
    "an id that is an object": b'{"jsonrpc":"2.0","id":{},"method":"textDocument/inlineCompletion","params":{}}',
    "a method that is a list": b'{"jsonrpc":"2.0","id":"odd","method":[]}',
    "a method that is null": b'{"jsonrpc":"2.0","id":"odd","method":null}',
    "an answer to a list": b'{"jsonrpc":"2.0","id":[],"result":null}',
    "an error for an object": b'{"jsonrpc":"2.0","id":{},"error":{"code":1,"message":"x"}}',
    "a cancelled list": b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":[1]}}',
    "a token that is a list": b'{"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":[]}}',
    "nothing": b"",
    "a lone surrogate": b'{"jsonrpc":"2.0","id":"\\ud800","method":"x/y"}',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
async def test_odd_message_costs_itself_alone(body: bytes) -> None:
    async with initialized() as wire:
        wire.write(frame(body))


async def test_message_that_is_too_long_is_skipped() -> None:
    async with initialized() as wire:
        size = LONGEST + 1
        wire.write(b"Content-Length: %d\r\n\r\n" % size)
        for start in range(0, size, 1 << 20):
            wire.write(b"x" * min(1 << 20, size - start))
            await asyncio.sleep(0)
        assert (await wire.reply(None))["error"]["code"] == INVALID_REQUEST
        assert [each["method"] for each in wire.heard].count("window/showMessage") == 1, "a change may be lost"
        wire.open(URI, "x = \n", version=2)


@pytest.mark.parametrize("length", ["0" * 5000 + "2", "9" * 5000])
async def test_length_of_thousands_of_digits_is_no_crash(length: str) -> None:
    async with serving([sys.executable, "-P", "-m", "dgls", "serve"]) as server:
        server.wire.write(f"Content-Length: {length}\r\n\r\n{{}}".encode())
        if length.endswith("2"):
            assert (await server.wire.reply(None))["error"]["code"] == INVALID_REQUEST
        else:
            assert await server.exit_code(10) == 2
            assert b"impossible Content-Length" in server.stderr
            assert server.stderr.count(b"\n") == 1


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
        wire.notify("textDocument/didOpen", None)
        wire.notify("window/workDoneProgress/cancel", {"token": "no such token"})
        assert [message for message in wire.heard if message["method"] == "window/showMessage"] == []


async def test_notification_with_an_id_is_followed_and_answered() -> None:
    async with initialized() as wire:
        assert await wire.request("textDocument/didChange", insertion(URI, 2, 0, 0, "y = 1\n")) is None
        assert (await wire.request(METHOD, completion(URI, 1, 4)))["items"]
        unreadable = {"textDocument": {"uri": URI, "version": 3}, "contentChanges": [{"range": 5, "text": "y"}]}
        reply = await wire.reply(wire.ask("textDocument/didChange", unreadable))
        assert reply["error"]["code"] == INVALID_PARAMS
        assert (await wire.request(METHOD, completion(URI, 1, 4)))["items"] == [], "a change is lost"
        whole = {"textDocument": {"uri": URI, "version": 4}, "contentChanges": [{"text": "x = \n"}]}
        wire.notify("textDocument/didChange", whole)


async def test_body_that_is_no_message_gets_an_error() -> None:
    bodies = [b"{", b"\xff\xfe", b"[]", b"3", b'{"id": 9}', b'{"method": "x", "id": 9}', b"null"]
    async with initialized() as wire:
        for body in bodies:
            wire.write(frame(body))
            expected = 9 if b"9" in body else None
            reply = await wire.reply(expected)
            assert reply["error"]["code"] in (PARSE_ERROR, INVALID_REQUEST), body
            del wire.replies[expected]


async def test_answer_without_a_waiting_request_is_ignored() -> None:
    async with initialized() as wire:
        wire.send({"id": "never asked", "result": {"x": 1}}, {"id": "nor this", "error": {"code": 1, "message": "no"}})
        wire.send({"id": "broken", "error": "no object"}, {"id": {}, "result": None}, {"result": None})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.reply(None), 0.3)  # an answer gets none


async def test_answer_to_the_clients_own_request_is_ignored() -> None:
    async with scripted({"texts": ["1"], "steps": 20, "step_ms": 20}) as server:
        wire = server.wire
        await wire.initialize()
        await wire.status("ready")
        wire.open(URI, "x = \n")
        asked = wire.ask(METHOD, completion(URI, 0, 4))
        wire.send({"id": asked, "result": None})
        assert [item["insertText"] for item in (await wire.reply(asked))["result"]["items"]] == ["1"]
        assert b"Traceback" not in server.stderr


async def test_cancelling_an_answered_request_logs_nothing() -> None:
    async with scripted({}) as server:
        await server.wire.initialize()
        server.wire.open(URI, "x = \n")
        asked = server.wire.ask(METHOD, completion(URI, 0, 4))
        await server.wire.reply(asked)
        server.wire.notify("$/cancelRequest", {"id": asked})
        await server.wire.request("shutdown")
        server.wire.notify("exit")
        assert await server.exit_code(10) == 0
        assert server.stderr == b""


async def test_parameters_that_look_like_a_message_are_plain_values() -> None:
    async with initialized() as wire:
        params = {"settings": {"dgls": {"jsonrpc": "2.0", "id": 1, "method": "exit"}}}
        wire.notify("workspace/didChangeConfiguration", params)


async def test_request_before_initialize_gets_an_error() -> None:
    async with scripted({}) as server:
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
    async with scripted({}) as server:
        wire = server.wire
        assert (await wire.reply(wire.ask("initialize", {"capabilities": 3})))["error"]["code"] == INVALID_PARAMS
        await wire.initialize()
        again = {"processId": None, "rootUri": None, "capabilities": {}}
        assert (await wire.reply(wire.ask("initialize", again)))["error"]["code"] == INVALID_REQUEST


async def test_request_after_shutdown_gets_an_error() -> None:
    async with scripted({}) as server:
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
