"""Messages that nobody meant: real ones with something wrong in them. `mutants` yields them without end."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.e2e.wire import completion, insertion

Message = dict[str, Any]

URI = "file:///a.py"
AT = {"line": 0, "character": 4}
RANGE = {"start": {"line": 0, "character": 0}, "end": AT}
OPEN = {"uri": URI, "languageId": "python", "version": 1, "text": "x = \ndef f():\n    pass\n"}
SETTINGS = {"threads": 2, "nextEdit": True, "inlineCompletion": {"enabled": True, "candidates": 2}, "exclude": ["*.x"]}
TASK = {"action": "fill", "span": [0, 4]}
PLACE = {"uri": URI, "version": 1, "range": RANGE}
DIAGNOSTIC = {"range": RANGE, "message": "m", "severity": 1}
NOTEBOOK = "file:///a.ipynb"
CELL = f"{NOTEBOOK}#1"
CELLS = [{"kind": 2, "document": CELL}, {"kind": 1, "document": f"{NOTEBOOK}#2"}]
ITEM = {"uri": CELL, "languageId": "python", "version": 1, "text": "%time x\nx = \n"}
STRUCTURE = {"array": {"start": 1, "deleteCount": 1, "cells": CELLS}, "didOpen": [ITEM], "didClose": [{"uri": CELL}]}
CONTENT = {"document": {"uri": CELL, "version": 2}, "changes": [{"range": RANGE, "text": "y"}]}
CHANGE = {"cells": {"structure": STRUCTURE, "data": CELLS, "textContent": [CONTENT]}}
OPEN_NOTEBOOK = {
    "notebookDocument": {"uri": NOTEBOOK, "notebookType": "jupyter-notebook", "version": 1, "cells": CELLS},
    "cellTextDocuments": [ITEM, {**ITEM, "uri": f"{NOTEBOOK}#2"}],
}
NOTIFICATIONS: list[tuple[str, Any]] = [
    ("initialized", {}),
    ("textDocument/didOpen", {"textDocument": OPEN}),
    ("textDocument/didChange", insertion(URI, 2, 0, 0, "y")),
    ("textDocument/didChange", insertion(URI, 2, 1, 8, "\r\n\f\u2028😀")),
    ("textDocument/didChange", {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"text": "x = \n"}]}),
    ("textDocument/didClose", {"textDocument": {"uri": URI}}),
    ("textDocument/didSave", {"textDocument": {"uri": URI}}),
    ("notebookDocument/didOpen", OPEN_NOTEBOOK),
    ("notebookDocument/didOpen", OPEN_NOTEBOOK),
    ("notebookDocument/didChange", {"notebookDocument": {"uri": NOTEBOOK, "version": 2}, "change": CHANGE}),
    ("notebookDocument/didSave", {"notebookDocument": {"uri": NOTEBOOK}}),
    ("notebookDocument/didClose", {"notebookDocument": {"uri": NOTEBOOK}, "cellTextDocuments": [{"uri": CELL}]}),
    ("workspace/didChangeConfiguration", {"settings": {"dgls": SETTINGS}}),
    ("workspace/didChangeWatchedFiles", {"changes": [{"uri": URI, "type": 2}]}),
    ("workspace/didChangeWorkspaceFolders", {"event": {"added": [{"uri": "file:///w", "name": "w"}], "removed": []}}),
    ("$/cancelRequest", {"id": 3}),
    ("$/progress", {"token": "t", "value": {}}),
    ("window/workDoneProgress/cancel", {"token": "t"}),
    ("$/setTrace", {"value": "off"}),
    ("dgls/nonsense", {"a": [1]}),
    ("dgls/nextEditAnswered", {"id": "x", "accepted": False}),
    ("textDocument/didShowInlineEdit", {"item": {}}),
    ("textDocument/didFocus", {"textDocument": {"uri": URI}}),
]
LISTED = {"textDocument": {"uri": URI}, "range": RANGE, "context": {"diagnostics": [DIAGNOSTIC]}}
ASKING = {"textDocument": {"uri": URI}, "position": AT}
REQUESTS: list[tuple[str, Any]] = [
    ("textDocument/inlineCompletion", completion(URI, 0, 4)),
    ("textDocument/inlineCompletion", completion(URI, 0, 4, kind=1)),
    ("textDocument/inlineCompletion", completion(CELL, 1, 4)),
    ("textDocument/completion", {"textDocument": {"uri": URI}, "position": AT}),
    ("dgls/nextEdit", ASKING),
    ("dgls/nextEdit", ASKING | {"invoked": True}),
    ("dgls/nextEditPlaces", ASKING),
    ("textDocument/copilotInlineEdit", ASKING | {"context": {"triggerKind": 1}}),
    ("workspace/executeCommand", {"command": "dgls.nextEditAccepted", "arguments": ["x"]}),
    ("textDocument/codeAction", LISTED),
    ("codeAction/resolve", {"title": "t", "data": {"request": "1", "uri": URI, "version": 1, "task": TASK}}),
    ("workspace/executeCommand", {"command": "dgls.fill", "arguments": [PLACE]}),
    ("workspace/executeCommand", {"command": "dgls.rewrite", "arguments": [PLACE | {"strength": 0.3}]}),
    ("workspace/executeCommand", {"command": "dgls.rewrite", "arguments": [PLACE | {"preview": True}]}),
    ("workspace/executeCommand", {"command": "dgls.act", "arguments": [{"uri": URI}]}),
    ("initialize", {"processId": None, "rootUri": None, "capabilities": {}}),
    ("textDocument/hover", {"textDocument": {"uri": URI}, "position": AT}),
]
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**31, 2**63, -(2**40), 10**400, 1e308, float("inf"), float("nan")),
    *("", "x", "\ud800", "\0", "𝒳" * 50, "python", "a" * 50_000, "\r\n\u2028\f" * 20),
    *("file:///%00", "file://[", "untitled:1", "file:///" + "a/" * 500),
    *([], {}, [[]], [None], {"a": {}}, {"line": 0}, {"uri": 5}, [0] * 2000, {"a." * 1000: 1}),
]
NO_JSON = [
    *(
        b"",
        b"{",
        b"nul",
        b"\xff\xfe",
        b"\0" * 100,
        b"[" * 2000,
        b'{"a":' * 2000,
        b'"\\ud800"',
        b"NaN",
        b"-",
        b"1e999999",
    ),
    b'{"jsonrpc":"2.0","id":1,"id":2,"method":"x/y"}',
    b'{"jsonrpc":"2.0","id":NaN,"method":"x/y"}',
]


def mutants(random: Random) -> Iterator[tuple[bytes, int | None]]:
    """Bodies of messages, each with the id of its request if it must be answered."""
    number = 0
    while True:
        number += 1
        chance = random.random()
        if chance < 0.03:
            yield random.choice(NO_JSON), None
        elif chance < 0.05:
            body = _encoded(_real(random, number))
            yield body[: random.randrange(len(body))] + random.choice((b"", b"\xff", b"{", b"]")), None
        elif chance < 0.06:
            yield _encoded([_real(random, number)] * random.randrange(3)), None
        elif chance < 0.08:
            yield _encoded({"jsonrpc": "2.0", "id": random.choice(ODD), random.choice(["result", "error"]): {}}), None
        else:
            message = mutated(_real(random, number), random)
            yield _encoded(message), number if _is_request(message, number) else None


def mutated(message: Message, random: Random) -> Message:
    """The message with up to three values removed or replaced."""
    message = copy.deepcopy(message)
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        *above, key = random.choice(list(_places(message)) or [("jsonrpc",)])
        holder: Any = message
        for step in above:
            holder = holder[step]
        fate = random.random()
        if fate < 0.15:
            holder.pop(key, None) if isinstance(holder, dict) else holder.pop(key)
        elif fate < 0.25 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(random.choice(ODD)))
        elif fate < 0.5 and isinstance(holder.get(key) if isinstance(holder, dict) else holder[key], int):
            holder[key] = random.randrange(-3, 12)
        else:
            holder[key] = copy.deepcopy(random.choice(ODD))
    return message


def _real(random: Random, number: int) -> Message:
    """A message of a real session. A few requests are sent as notifications, a few ids are used twice."""
    method, params = random.choice(NOTIFICATIONS + REQUESTS)
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if ((method, params) in REQUESTS) != (random.random() < 0.03):
        message["id"] = number if random.random() < 0.97 else number - 1
    return message


def _is_request(message: Message, number: int) -> bool:
    return type(message.get("id")) is int and message["id"] == number and not {"result", "error"} & message.keys()


def _encoded(message: object) -> bytes:
    return json.dumps(message).encode()


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*above, key)
        yield from _places(value[key], (*above, key))
