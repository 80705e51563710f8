"""The messages that jupyterlab-lsp sends for a notebook, over real pipes with a scripted engine.

It gives no name and no initialization options, sends its settings after `initialize`, treats a notebook as one text
document, repeats version numbers, closes no document, and requests completion whether that is announced or not.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.acting import heard
from tests.e2e.forked import scripted
from tests.e2e.test_inline_completion import Journal
from tests.e2e.wire import REPO, Message, Wire

SESSION = REPO / "fixtures" / "clients" / "session-jupyterlab-lsp-5.3.0.jsonl"
METHOD_NOT_FOUND = -32601


@asynccontextmanager
async def replayed(
    tmp_path: Path, fill: str, settings: Message | None = None
) -> AsyncIterator[tuple[Wire, Journal, Message]]:
    """The session up to its last message, a request for completion. `settings` in place of the session's own."""
    journal = Journal(tmp_path / "journal")
    async with scripted({"texts": [fill], "journal": str(journal.path)}) as server:
        *before, last = session()
        for message in before:
            if settings is not None and message["params"].get("settings"):
                message["params"]["settings"] = settings
            server.wire.send(message)
            if "id" in message:
                await server.wire.reply(message["id"])
        await server.wire.status("ready")
        server.wire.send(last)
        yield server.wire, journal, await server.wire.reply(last["id"])
        assert b"Traceback" not in server.stderr, server.stderr.decode()


def session() -> list[Message]:
    """The recorded messages. Their ids are texts here, so that a test can send further requests."""
    messages = [json.loads(line) for line in SESSION.read_text(encoding="utf-8").splitlines()]
    return [{**each, "id": str(each["id"])} if "id" in each else each for each in messages]


async def test_completion_that_the_settings_turn_on_is_registered_and_answered(tmp_path: Path) -> None:
    async with replayed(tmp_path, "oad(path)") as (wire, journal, answer):
        (registered,) = heard(wire, "client/registerCapability")
        (registration,) = registered["registrations"]
        assert registration["method"] == "textDocument/completion"
        (item,) = answer["result"]["items"]
        assert (item["label"], item["insertText"]) == ("load(path)", "load(path)")
        (asked,) = journal.entries("infill")
        assert asked["path"] == "sub/my note.ipynb"
        assert asked["segments"][0].endswith("path = 1\n\n\ndata = l")


async def test_completion_that_the_settings_turn_on_twice_is_registered_once(tmp_path: Path) -> None:
    async with replayed(tmp_path, "oad(path)") as (wire, _, _):
        for choice in ("off", "on"):
            settings = {"settings": {"dgls": {"completion": choice}}}
            wire.notify("workspace/didChangeConfiguration", settings)
        await wire.request("shutdown")
        assert len(heard(wire, "client/registerCapability")) == 1


async def test_completion_without_the_setting_is_an_unknown_method(tmp_path: Path) -> None:
    async with replayed(tmp_path, "oad(path)", settings={}) as (wire, _, answer):
        assert answer["error"]["code"] == METHOD_NOT_FOUND
        assert heard(wire, "client/registerCapability") == []


async def test_notebook_opened_again_without_a_close_has_the_text_of_its_old_version_number(tmp_path: Path) -> None:
    async with replayed(tmp_path, "oad(path)") as (wire, journal, _):
        change = next(each for each in session() if each["method"] == "textDocument/didChange")
        change["params"]["contentChanges"] = [{"text": "other = "}]
        assert change["params"]["textDocument"]["version"] == 0
        wire.send(change)
        at = {"position": {"line": 0, "character": 8}, "context": {"triggerKind": 2}}
        result = await wire.request("textDocument/inlineCompletion", {**change["params"], **at})
        assert len(result["items"]) == 1
        assert journal.entries("infill")[-1]["segments"][0] == "other = "
