"""The recorded `initialize` of real editors against the server: negotiate, open, complete, leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lsprotocol import types
from lsprotocol.converters import get_converter
from pytest_lsp import LanguageClient, make_test_lsp_client

from dgls.server.settings import own_options
from tests.e2e.wire import PATIENCE, REPO, environment, fake_command

CLIENTS = sorted((REPO / "fixtures" / "clients").glob("init-*.json"))
ENCODINGS = {
    "init-eglot-emacs30.1": "utf-32",
    "init-helix-25.07.1": "utf-8",
    "init-lsp-mode-10.0.0": "utf-32",
    "init-neovim-0.12.4": "utf-8",
    "init-vscode-1.139.1-languageclient-11.0.0": "utf-16",
}
URI = "file:///project/a.py"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The model loads when this file exists."""
    return tmp_path / "gate"


@pytest_asyncio.fixture
async def client(gate: Path) -> AsyncIterator[LanguageClient]:
    client = make_test_lsp_client()
    client.statuses = []  # type: ignore[attr-defined]

    @client.feature("dgls/status")
    def status(params: Any) -> None:
        client.statuses.append(params.state)  # type: ignore[attr-defined]

    command, *arguments = fake_command({"texts": ["1"], "gate": str(gate)})
    await client.start_io(command, *arguments, env=environment())
    yield client
    await asyncio.wait_for(client.shutdown_session(), PATIENCE)
    assert client.error is None
    await client.stop()


async def state(client: LanguageClient, wanted: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while client.statuses[-1:] != [wanted]:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)


def recorded(path: Path) -> types.InitializeParams:
    params: dict[str, Any] = json.loads(path.read_text())
    params["processId"] = None
    params["initializationOptions"] = {"model": "embedded", **own_options(params.get("initializationOptions"))}
    return get_converter().structure(params, types.InitializeParams)


def ask(
    client: LanguageClient, kind: types.InlineCompletionTriggerKind, line: int, character: int
) -> asyncio.Future[Any]:
    """Send a request now: pytest-lsp sends it only when it is awaited."""
    params = types.InlineCompletionParams(
        types.InlineCompletionContext(kind), types.TextDocumentIdentifier(URI), types.Position(line, character)
    )
    return asyncio.ensure_future(client.text_document_inline_completion_async(params))


def test_editors_every_recorded_client_is_tested() -> None:
    assert {path.stem for path in CLIENTS} == set(ENCODINGS)


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem.removeprefix("init-"))
async def test_recorded_editor_initializes_completes_and_leaves(path: Path, client: LanguageClient, gate: Path) -> None:
    result = await client.initialize_session(recorded(path))
    assert result.capabilities.position_encoding == ENCODINGS[path.stem]
    assert result.capabilities.inline_completion_provider is not None
    sync = result.capabilities.text_document_sync
    assert isinstance(sync, types.TextDocumentSyncOptions)
    assert (sync.open_close, sync.change) == (True, types.TextDocumentSyncKind.Incremental)
    await state(client, "loading")
    gate.touch()
    await state(client, "ready")

    text = 'face = "\U0001f600"; x = \n'
    client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(URI, "python", 1, text)))
    width = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[ENCODINGS[path.stem]]
    for kind in types.InlineCompletionTriggerKind:
        answer = await ask(client, kind, 0, 15 + width)
        (item,) = answer.items
        assert (item.insert_text, item.range.start, item.range.end) == (
            "1",
            types.Position(0, 15 + width),
            types.Position(0, 15 + width),
        )
    assert client.messages == []
    assert all(kinds(reports) == ["begin", "end"] for reports in client.progress_reports.values())
    assert len(client.progress_reports) == 1


def kinds(reports: list[Any]) -> list[str]:
    return [report.kind for report in reports]
