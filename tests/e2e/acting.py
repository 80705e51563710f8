"""Code actions as an editor handles them, for the tests: list them, choose one, apply its edit."""

from __future__ import annotations

import json
from typing import Any

from dgls.code.document import Change, Document, Position, PositionEncoding
from tests.e2e.wire import REPO, Message, Wire

CLIENTS = sorted((REPO / "fixtures" / "clients").glob("init-*.json"))
LIST, RESOLVE, EXECUTE = "textDocument/codeAction", "codeAction/resolve", "workspace/executeCommand"


def recorded(stem: str) -> Message:
    """The `initialize` parameters of a real client, by a part of its file's name."""
    (path,) = [path for path in CLIENTS if stem in path.stem]
    return {**json.loads(path.read_text()), "processId": None}


def capable(**more: object) -> Message:
    """A client that resolves actions, counts in utf-16 and shows progress.

    `more` adds capabilities at the top level, and under `codeAction` and `workspace`.
    """
    action: Message = {
        "codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}},
        "dataSupport": True,
        "resolveSupport": {"properties": ["edit"]},
    }
    workspace: Message = {"applyEdit": True, "workspaceEdit": {"documentChanges": True}}
    capabilities: Message = {
        "general": {"positionEncodings": ["utf-16"]},
        "window": {"workDoneProgress": True},
        "textDocument": {"codeAction": {**action, **more.pop("codeAction", {})}},  # type: ignore[dict-item]
        "workspace": {**workspace, **more.pop("workspace", {})},  # type: ignore[dict-item]
    }
    return {"capabilities": {**capabilities, **more}}


def place(text: str, part: str, encoding: PositionEncoding = "utf-16") -> Message:
    """The range of the first `part` of a text."""
    at = text.index(part)
    document = Document("", 0, "", text)
    start, end = document.position(at, encoding), document.position(at + len(part), encoding)
    return {
        "start": {"line": start.line, "character": start.character},
        "end": {"line": end.line, "character": end.character},
    }


def listing(uri: str, where: Message, **context: object) -> Message:
    return {"textDocument": {"uri": uri}, "range": where, "context": {"diagnostics": [], **context}}


async def titled(wire: Wire, params: Message, title: str) -> Any:
    """The listed action with this title."""
    found = await wire.request(LIST, params)
    (action,) = [action for action in found if action["title"] == title]
    return action


def edited(text: str, edit: Message, encoding: PositionEncoding = "utf-16") -> str:
    """The text as an editor has it after the edit: of one document, whose edits all speak of the text before."""
    if "changes" in edit:
        (edits,) = edit["changes"].values()
    else:
        (change,) = edit["documentChanges"]
        edits = change["edits"]

    def position(of: Message) -> Position:
        return Position(of["line"], of["character"])

    later_first = sorted(edits, key=lambda each: (each["range"]["start"]["line"], each["range"]["start"]["character"]))
    changes = [
        Change(each["newText"], position(each["range"]["start"]), position(each["range"]["end"]))
        for each in reversed(later_first)
    ]
    return Document("", 0, "", text).apply(changes, 0, encoding).text


def shown(wire: Wire) -> list[str]:
    return [message["params"]["message"] for message in wire.heard if message["method"] == "window/showMessage"]


def heard(wire: Wire, method: str) -> list[Any]:
    return [message["params"] for message in wire.heard if message["method"] == method]
