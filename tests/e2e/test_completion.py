"""The completion menu's item over real pipes, requested as Eglot and Helix do, with a scripted engine."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from dgls.code.document import Document, Position, PositionEncoding
from tests.e2e.acting import edited, place, recorded, shown
from tests.e2e.test_inline_completion import METHOD as INLINE
from tests.e2e.test_inline_completion import SLOW, URI, ready
from tests.e2e.wire import PATIENCE, Message, Wire, completion, insertion

METHOD = "textDocument/completion"
NONE = {"isIncomplete": True, "items": []}
METHOD_NOT_FOUND, CANCELLED = -32601, -32800
EDITORS: dict[PositionEncoding, Message] = {
    "utf-8": recorded("helix"),
    "utf-16": {**recorded("vscode"), "initializationOptions": {"completion": "on"}},
    "utf-32": recorded("eglot"),
}
"""A client for each encoding."""


def options(**settings: object) -> Message:
    return {**recorded("helix"), "initializationOptions": {"inlineCompletion": settings}}


def asked(text: str, encoding: PositionEncoding = "utf-8", kind: int = 1) -> tuple[str, Message]:
    """A text without its `|`, and a request at that position."""
    at = text.index("|")
    text = text.replace("|", "")
    where = Document("", 0, "", text).position(at, encoding)
    return text, completion(URI, where.line, where.character, kind)


async def only_item(wire: Wire, params: Message) -> Message:
    result = await wire.request(METHOD, params)
    assert result["isIncomplete"] is True
    (item,) = result["items"]
    assert isinstance(item, dict)
    return item


@pytest.mark.parametrize("encoding", EDITORS)
@pytest.mark.parametrize(
    ("text", "fill", "label", "line"),
    [
        ('x = "\U0001f600é", val|\ny = 1\n', "ue", "value", 'x = "\U0001f600é", value'),
        ("class A:\r\n\tdef f(self):\r\n\t\treturn |\r\n", "self", "self", "return self"),
        ("if a:\n    x = [|]\n", "1, 2", "1, 2", "x = [1, 2"),
        ('print("\U0001f600")\n|\n', "a = 1", "a = 1", "a = 1"),
        ("def f():\r\n    |\r\n", "a = 1\n    return a", "a = 1 …", "a = 1\n    return a"),
        ('def f(a="\U0001f600"):|\r\n', "\n    return a", "return a", 'def f(a="\U0001f600"):\n    return a'),
    ],
)
async def test_item_starts_at_the_indentation_of_the_line(
    text: str, fill: str, label: str, line: str, encoding: PositionEncoding, tmp_path: Path
) -> None:
    text, params = asked(text, encoding)
    async with ready(tmp_path, EDITORS[encoding], texts=[fill]) as (wire, _):
        wire.open(URI, text)
        item = await only_item(wire, params)
    edit, inserted = item.pop("textEdit"), item.pop("insertText")
    document = Document(URI, 1, "python", text)
    assert edit["newText"] == item.pop("filterText") == line.replace("\n", document.newline)
    assert edit["range"]["end"] == params["position"]
    assert item.pop("documentation", None) == ({"kind": "plaintext", "value": line} if label.endswith("…") else None)
    assert item == {"label": label, "kind": 1, "detail": "dgls", "insertTextFormat": 1, "insertTextMode": 1}
    at = document.offset(Position(**params["position"]), encoding)
    fill = fill.replace("\n", document.newline)
    assert inserted == re.findall(r"\w*$", text[:at])[0] + fill  # for clients that ignore the edit
    expected = text[:at] + fill + text[at:]
    assert edited(text, {"changes": {URI: [edit]}}, encoding) == expected


async def test_request_after_typing_a_part_of_the_item_needs_no_engine(tmp_path: Path) -> None:
    async with ready(tmp_path, EDITORS["utf-8"], texts=["value"]) as (wire, journal):
        wire.open(URI, "x = \n")
        await only_item(wire, completion(URI, 0, 4))
        wire.notify("textDocument/didChange", insertion(URI, 2, 0, 4, "va"))
        item = await only_item(wire, completion(URI, 0, 6, kind=3))
        assert (item["label"], item["filterText"]) == ("value", "x = value")
        assert item["textEdit"]["range"] == place("x = va", "x = va")
        assert len(journal.entries("infill")) == 1


@pytest.mark.parametrize("text", ["# a comment |\n", "x = 'a string |'\n"])
@pytest.mark.parametrize("kind", [1, 2, 3])
async def test_request_where_automatic_suggestions_are_quiet_returns_none(text: str, kind: int, tmp_path: Path) -> None:
    text, params = asked(text, kind=kind)
    async with ready(tmp_path, EDITORS["utf-8"], texts=["more"]) as (wire, journal):
        wire.open(URI, text)
        assert await wire.request(METHOD, params) == NONE
        assert journal.entries("infill") == []


async def test_request_with_a_slow_model_returns_at_the_deadline(tmp_path: Path) -> None:
    async with ready(tmp_path, options(deadlineMs=100), **SLOW) as (wire, journal):
        wire.open(URI, "x = \n")
        assert await wire.request(METHOD, completion(URI, 0, 4)) == NONE
        await journal.wait("cancelled")
        assert journal.entries("done") == []
        assert shown(wire) == []


@pytest.mark.parametrize("settings", [{"minConfidence": 0.95}, {"enabled": False}])
async def test_request_obeys_the_settings_of_automatic_suggestions(settings: dict[str, Any], tmp_path: Path) -> None:
    enabled = settings.get("enabled", True)
    async with ready(tmp_path, options(**settings), waited=enabled, confidence=0.9) as (wire, journal):
        wire.open(URI, "x = \n")
        assert await wire.request(METHOD, completion(URI, 0, 4)) == NONE
        assert len(journal.entries("infill")) == enabled


async def test_newer_request_of_either_kind_cancels_the_older_one(tmp_path: Path) -> None:
    async with ready(tmp_path, EDITORS["utf-16"], **SLOW) as (wire, journal):
        wire.open(URI, "x = \n")
        first = wire.ask(METHOD, completion(URI, 0, 4))
        await journal.wait("infill")
        second = wire.ask(INLINE, completion(URI, 0, 4))
        assert (await wire.reply(first))["result"] == NONE
        await journal.wait("infill", 2)
        third = wire.ask(METHOD, completion(URI, 0, 4))
        assert (await wire.reply(second))["result"] == {"items": []}
        await journal.wait("infill", 3)
        wire.notify("$/cancelRequest", {"id": third})
        assert (await wire.reply(third))["error"]["code"] == CANCELLED
        await journal.wait("cancelled", 3)


async def test_request_after_the_setting_is_turned_off_returns_none(tmp_path: Path) -> None:
    async with ready(tmp_path, EDITORS["utf-8"], texts=["value"]) as (wire, _):
        wire.open(URI, "x = \n")
        await only_item(wire, completion(URI, 0, 4))
        wire.settings = {"completion": "off"}
        wire.notify("workspace/didChangeConfiguration", {"settings": None})
        async with asyncio.timeout(PATIENCE):
            while await wire.request(METHOD, completion(URI, 0, 4)) != NONE:
                await asyncio.sleep(0.01)


async def test_request_that_fails_returns_no_item_and_shows_no_message(tmp_path: Path) -> None:
    async with ready(tmp_path, EDITORS["utf-8"], waited=False, fails="No such model.") as (wire, _):
        await wire.status("failed")
        wire.open(URI, "x = \n")
        assert await wire.request(METHOD, completion(URI, 0, 4)) == NONE
        assert shown(wire) == ["dgls has no model: No such model."]


async def test_request_of_a_client_with_ghost_text_is_an_unknown_method(tmp_path: Path) -> None:
    async with ready(tmp_path, recorded("neovim"), texts=["value"]) as (wire, _):
        wire.open(URI, "x = \n")
        refused = await wire.reply(wire.ask(METHOD, completion(URI, 0, 4)))
        assert refused["error"]["code"] == METHOD_NOT_FOUND
