"""Whatever a client sends, each request is answered, nothing unexpected is raised, and the server goes on."""

from __future__ import annotations

import asyncio
import json
import logging
from itertools import islice
from random import Random
from typing import Any

import pytest

from dgls.server.lsp_server import build
from tests.e2e.fake_server import FakeEngine, Script
from tests.e2e.wire import completion
from tests.fuzzing import MESSAGES
from tests.server.mutation import OPEN, URI, mutants, mutated
from tests.server.test_memory import Client

CAPABILITIES = {
    "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}},
    "window": {"workDoneProgress": True},
    "textDocument": {"codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}}}},
}
INITIALIZE = {
    **{"processId": None, "rootUri": None, "capabilities": CAPABILITIES, "clientInfo": {"name": "helix"}},
    "initializationOptions": {"model": "embedded", "completion": "on"},
}
SETTLE_EVERY = 500
"""Messages. A request that is not answered is found near the message that keeps it."""


class Unexpected(logging.Handler):
    """Keeps the exceptions that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.records.append(record)


class OddClient(Client):
    """Answers the server's requests, often oddly first."""

    def __init__(self, server: Any, random: Random) -> None:
        super().__init__(server)
        self._random = random

    def write(self, data: bytes) -> None:
        super().write(data)
        for line in data.decode().splitlines():
            if line.startswith("{") and {"method", "id"} <= (message := json.loads(line)).keys():
                asyncio.get_running_loop().call_soon(self._answer, message["id"])

    def _answer(self, id: Any) -> None:
        answer = {"jsonrpc": "2.0", "id": id, "result": {"applied": self._random.random() < 0.5}}
        if self._random.random() < 0.3:
            self._protocol.received(json.dumps(mutated(answer, self._random)).encode())
        self._protocol.received(json.dumps(answer).encode())


async def test_any_message_is_answered_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    unexpected = Unexpected()
    with monkeypatch.context() as patch:
        patch.setattr(logging.root, "handlers", [unexpected])  # pytest's own would keep every line of the log
        patch.setattr(logging.root, "level", logging.ERROR)
        await fuzz(MESSAGES, unexpected)


async def fuzz(count: int, unexpected: Unexpected) -> None:
    server = build(lambda settings, on_loading: FakeEngine(Script(texts=["a", "b"], step_ms=0), settings))
    random = Random(5)
    client, asked = OddClient(server, random), dict[int, bytes]()
    await client.send("initialize", INITIALIZE, id=0)
    await client.send("initialized", {})
    for number, (body, request) in enumerate(islice(mutants(random), count), 1):
        if request is not None:
            asked[request] = body
        server.conversation.received(body)
        await asyncio.sleep(0)
        assert not unexpected.records, (body[:2000], unexpected.records[0].exc_info)
        if number % SETTLE_EVERY == 0 or number == count:
            for request, sent in asked.items():
                try:
                    await client.answered(request)
                except TimeoutError:
                    pytest.fail(f"not answered: {sent[:2000]!r}")
            asked.clear()
            client.replies.clear()
    assert not server.conversation.ended.is_set()
    await client.send("textDocument/didOpen", {"textDocument": OPEN})
    await client.send("textDocument/inlineCompletion", completion(URI, 0, 4), id=10**9)
    await client.answered(10**9)
    for uri in list(server.session.documents):
        await client.send("textDocument/didClose", {"textDocument": {"uri": uri}})
    await asyncio.sleep(0.01)
    assert not server.conversation._request_futures
    assert not server.conversation._result_types
    server.session.close(1)
