"""Messages that nobody meant: each request is answered, nothing unexpected is raised, and the server goes on.

Mutates real messages, `DGLS_FUZZ` of them (`make fuzz`: a million).
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from dgls.server.lsp_server import build
from tests.e2e.fake_server import FakeEngine, Script
from tests.e2e.wire import completion, insertion
from tests.server.test_memory import Client

COUNT = int(os.environ.get("DGLS_FUZZ", "3000"))
URI = "file:///a.py"
AT = {"line": 0, "character": 4}
RANGE = {"start": {"line": 0, "character": 0}, "end": AT}
CAPABILITIES = {
    "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}},
    "textDocument": {"codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}}}},
}
OPEN = {"uri": URI, "languageId": "python", "version": 1, "text": "x = \ndef f():\n    pass\n"}
SETTINGS = {"threads": 2, "inlineCompletion": {"enabled": True, "candidates": 2}, "exclude": ["*.x"]}
TASK = {"action": "fill", "span": [0, 4]}
PLACE = {"uri": URI, "version": 1, "range": RANGE}
NOTIFICATIONS: list[tuple[str, Any]] = [
    ("textDocument/didOpen", {"textDocument": OPEN}),
    ("textDocument/didChange", insertion(URI, 2, 0, 0, "y")),
    ("textDocument/didChange", {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"text": "x = \n"}]}),
    ("textDocument/didClose", {"textDocument": {"uri": URI}}),
    ("workspace/didChangeConfiguration", {"settings": {"dgls": SETTINGS}}),
    ("workspace/didChangeWorkspaceFolders", {"event": {"added": [{"uri": "file:///w", "name": "w"}], "removed": []}}),
    ("$/cancelRequest", {"id": 3}),
    ("window/workDoneProgress/cancel", {"token": "t"}),
    ("$/setTrace", {"value": "off"}),
]
DIAGNOSTIC = {"range": RANGE, "message": "m", "severity": 1}
REQUESTS: list[tuple[str, Any]] = [
    ("textDocument/inlineCompletion", completion(URI, 0, 4)),
    ("textDocument/inlineCompletion", completion(URI, 0, 4, kind=1)),
    (
        "textDocument/codeAction",
        {"textDocument": {"uri": URI}, "range": RANGE, "context": {"diagnostics": [DIAGNOSTIC]}},
    ),
    ("codeAction/resolve", {"title": "t", "data": {"request": "1", "uri": URI, "version": 1, "task": TASK}}),
    ("workspace/executeCommand", {"command": "dgls.fill", "arguments": [PLACE]}),
    ("workspace/executeCommand", {"command": "dgls.rewrite", "arguments": [PLACE | {"strength": 0.3}]}),
    ("workspace/executeCommand", {"command": "dgls.act", "arguments": [{"uri": URI}]}),
]
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**31, 2**63, -(2**40), 1e308, float("inf"), "", "x", "\ud800", "\0", "𝒳" * 50, [], {}),
    *([[]], [None], {"a": {}}, {"line": 0}, "python", "a" * 50_000, "\r\n\u2028\f" * 20, "file:///%00", "untitled:1"),
]


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*above, key)
        yield from places(value[key], (*above, key))


def mutated(message: Any, rng: random.Random) -> Any:
    message = copy.deepcopy(message)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        *above, key = rng.choice(list(places(message)) or [("jsonrpc",)])
        holder = message
        for step in above:
            holder = holder[step]
        fate = rng.random()
        if fate < 0.15:
            holder.pop(key, None) if isinstance(holder, dict) else holder.pop(key)
        elif fate < 0.25 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(rng.choice(ODD)))
        elif fate < 0.5 and isinstance(holder.get(key) if isinstance(holder, dict) else holder[key], int):
            holder[key] = rng.randrange(-3, 12)
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD))
    return message


async def test_any_message_is_answered_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # what is refused is logged
    caught: list[logging.LogRecord] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = caught.append  # type: ignore[method-assign]
    logger = logging.getLogger("dgls.server.protocol")
    server = build(lambda settings, on_loading: FakeEngine(Script(texts=["a", "b"], step_ms=0), settings))
    client, rng, asked = Client(server), random.Random(5), set[int]()
    await client.send("initialize", {"processId": None, "rootUri": None, "capabilities": CAPABILITIES}, id=0)
    await client.send("initialized", {})
    logger.addHandler(handler)
    try:
        logger.setLevel(logging.ERROR)
        for number in range(1, COUNT + 1):
            method, params = rng.choice(NOTIFICATIONS + REQUESTS)
            message = {"jsonrpc": "2.0", "method": method, "params": params}
            if (method, params) in REQUESTS:
                message["id"] = number
            message = mutated(message, rng)
            if message.get("id") == number and type(message["id"]) is int and not {"result", "error"} & message.keys():
                asked.add(number)
            server.conversation.received(json.dumps(message).encode())
            await asyncio.sleep(0)
        for number in asked:
            await client.answered(number)
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)
    unexpected = [record for record in caught if record.exc_info is not None]
    assert not unexpected, unexpected[0].exc_info
    assert not server.conversation.ended.is_set()
    await client.send("textDocument/didOpen", {"textDocument": OPEN})
    await client.send("textDocument/inlineCompletion", completion(URI, 0, 4), id=10**9)
    await client.answered(10**9)
    await client.send("textDocument/didClose", {"textDocument": {"uri": URI}})
    await asyncio.sleep(0.01)
    assert not server.conversation._request_futures
    server.session.close(1)
