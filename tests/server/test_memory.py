"""What the server holds after documents were closed, requests ended and settings changed: nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from dgls.server.lsp_server import Server, build
from tests.e2e.fake_server import FakeEngine, Script
from tests.e2e.wire import completion

PATIENCE = 30.0


class Client:
    """A client in this process. `replies` has the ids that were answered."""

    def __init__(self, server: Server) -> None:
        self._protocol = server.conversation
        self.replies: set[int | str | None] = set()
        self._protocol.connected(self)

    def write(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            if line.startswith("{") and "method" not in (message := json.loads(line)):
                self.replies.add(message.get("id"))

    def close(self) -> None: ...

    async def send(self, method: str, params: object, id: int | None = None) -> None:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        self._protocol.received(json.dumps(message if id is None else {**message, "id": id}).encode())
        await asyncio.sleep(0)

    async def answered(self, id: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while id not in self.replies:
                await asyncio.sleep(0.001)


async def test_server_keeps_nothing_of_closed_documents_and_old_settings() -> None:
    server = build(lambda settings, on_loading: FakeEngine(Script(texts=["a", "b"]), settings))
    client, session, protocol = Client(server), server.session, server.conversation
    await client.send("initialize", {"processId": None, "rootUri": None, "capabilities": {}}, id=0)
    await client.send("initialized", {})
    for number in range(1, 40):
        uri = f"file:///{number}.py"
        await client.send("workspace/didChangeConfiguration", {"settings": {"dgls": {"inlineCompletion": {}}}})
        item = {"uri": uri, "languageId": "python", "version": 1, "text": "x = \n"}
        await client.send("textDocument/didOpen", {"textDocument": item})
        await client.send("textDocument/inlineCompletion", completion(uri, 0, 4, kind=1 + number % 2), id=number)
        if number % 3:
            await client.answered(number)
        edited = {"range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}, "text": "y"}
        versioned = {"uri": uri, "version": 2}
        await client.send("textDocument/didChange", {"textDocument": versioned, "contentChanges": [edited]})
        assert session.edited is not None
        asking = {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 0}, "invoked": True}
        await client.send("dgls/nextEdit", asking, id=2000 + number)
        if number % 5 == 0:
            await client.send(
                "textDocument/didChange", {"textDocument": {"uri": uri}, "contentChanges": [{"range": 1}]}
            )
            assert uri in session.out_of_step
        await client.send("textDocument/didClose", {"textDocument": {"uri": uri}})
        await client.answered(number)
        await client.answered(2000 + number)
        folder = {"uri": "file:///w", "name": "w"}
        await client.send("workspace/didChangeWorkspaceFolders", {"event": {"added": [folder], "removed": []}})
        await opened_and_closed_notebook(client, f"file:///{number}.ipynb", 1000 + number)
    assert session.client.folders == ("file:///w",)
    await asyncio.sleep(0.01)
    documents = (session.documents, session.notebooks, session.out_of_step, session._memories)
    assert session.edited is None
    kept = (*documents, session._in_flight, protocol._request_futures, protocol._result_types)
    assert [len(each) for each in kept] == [0] * len(kept)
    session.close(1)


async def opened_and_closed_notebook(client: Client, uri: str, number: int) -> None:
    names = [f"{uri}#{cell}" for cell in range(3)]
    cells = [{"kind": 2, "document": name} for name in names]
    items = [{"uri": name, "languageId": "python", "version": 1, "text": "x = \n"} for name in names]
    notebook = {"uri": uri, "notebookType": "jupyter-notebook", "version": 1, "cells": cells}
    await client.send("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": items})
    await client.send("textDocument/inlineCompletion", completion(names[1], 0, 4), id=number)
    if number % 2:
        await client.answered(number)
        bad = {"document": {"uri": names[2]}, "changes": [{"range": 1}]}
        change = {"cells": {"structure": {"array": {"start": 0, "deleteCount": 1}}, "textContent": [bad][: number % 3]}}
        await client.send("notebookDocument/didChange", {"notebookDocument": {"uri": uri}, "change": change})
    await client.send("notebookDocument/didClose", {"notebookDocument": {"uri": uri}, "cellTextDocuments": []})
    await client.answered(number)
