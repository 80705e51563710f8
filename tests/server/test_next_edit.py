"""dgls/nextEdit over the protocol, with a scripted engine: what is proposed, and when the server is quiet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dgls.server.lsp_server import build
from dgls.server.settings import Settings
from dgls_engine.types import Loading
from dgls_engine.worker import EngineLike
from tests.e2e.fake_server import FakeEngine, Script

PATIENCE = 20.0
URI, OTHER = "file:///a.py", "file:///b.py"
NOTEBOOK = "file:///project/note.ipynb"
TEXT = "def f(w):\n    a = w\n    b = w\n    return a\n"
ACTIONS = {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}}


def cell(number: int) -> str:
    return f"vscode-notebook-cell:/project/note.ipynb#{number}"


class Editor:
    """A client in this process, with one engine."""

    def __init__(self, script: Script, scores: bool = True) -> None:
        self._server = build(self._open)
        self._script, self._scores = script, scores
        self._replies: dict[int, Any] = {}
        self._ids, self.version = 0, 1
        self.session = self._server.session
        self._server.conversation.connected(self)

    def _open(self, settings: Settings, on_loading: Loading) -> EngineLike:
        engine = FakeEngine(self._script, settings)
        if not self._scores:
            engine.info = replace(engine.info, scores=False)
        return engine

    def write(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            if line.startswith("{") and "method" not in (message := json.loads(line)):
                self._replies[message["id"]] = message

    def close(self) -> None: ...

    def notify(self, method: str, params: object) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self._server.conversation.received(json.dumps(message).encode())

    def ask(self, method: str, params: object) -> int:
        self._ids += 1
        message = {"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params}
        self._server.conversation.received(json.dumps(message).encode())
        return self._ids

    async def reply(self, id: int) -> Any:
        async with asyncio.timeout(PATIENCE):
            while id not in self._replies:
                await asyncio.sleep(0.001)
        reply = self._replies[id]
        return reply["result"] if "result" in reply else reply["error"]

    async def request(self, method: str, params: object) -> Any:
        return await self.reply(self.ask(method, params))

    async def start(self, **settings: object) -> None:
        capabilities = {"textDocument": {"codeAction": ACTIONS}, "workspace": {"applyEdit": True}}
        await self.request(
            "initialize",
            {"processId": None, "capabilities": capabilities, "initializationOptions": {"nextEdit": True, **settings}},
        )
        self.notify("initialized", {})
        self.open(URI, TEXT)
        async with asyncio.timeout(PATIENCE):
            while not self.session.host.ready:
                await asyncio.sleep(0.001)

    def open(self, uri: str, text: str) -> None:
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def open_notebook(self, *texts: str) -> None:
        items = [
            {"uri": cell(number), "languageId": "python", "version": 1, "text": text}
            for number, text in enumerate(texts)
        ]
        cells = [{"kind": 2, "document": item["uri"]} for item in items]
        notebook = {"uri": NOTEBOOK, "notebookType": "jupyter-notebook", "version": 1, "cells": cells}
        self.notify("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": items})

    def change_cell(self, number: int, line: int, start: int, end: int, text: str) -> None:
        place = {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}
        document = {"uri": cell(number), "version": self.session.documents[cell(number)].version + 1}
        content = {"document": document, "changes": [{"range": place, "text": text}]}
        change = {"cells": {"textContent": [content]}}
        self.notify(
            "notebookDocument/didChange", {"notebookDocument": {"uri": NOTEBOOK, "version": 2}, "change": change}
        )

    def change(self, line: int, start: int, end: int, text: str) -> None:
        self.version += 1
        place = {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}
        document = {"uri": URI, "version": self.version}
        changes = [{"range": place, "text": text}]
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})

    def rename(self) -> None:
        for key in ("i", "d", "t", "h"):
            self.change(0, 7 + "idth".index(key), 7 + "idth".index(key), key)

    def asking(self, invoked: bool = False, uri: str = URI) -> dict[str, Any]:
        return {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 11}, "invoked": invoked}

    async def next_edit(self, invoked: bool = False, uri: str = URI) -> Any:
        return await self.request("dgls/nextEdit", self.asking(invoked, uri))


@pytest.fixture
async def editor() -> AsyncIterator[Editor]:
    editor = Editor(Script())
    yield editor
    editor.session.close(1)


def at(edit: dict[str, Any]) -> tuple[int, int, int, str]:
    start, end = edit["range"]["start"], edit["range"]["end"]
    return start["line"], start["character"], end["character"], edit.get("newText", edit.get("text"))


async def test_next_edit_after_a_rename_proposes_the_nearest_place(editor: Editor) -> None:
    await editor.start()
    editor.rename()
    answer = await editor.next_edit()
    assert answer["reason"] == "", answer
    assert at(answer["edit"]) == (1, 8, 9, "width")
    assert (answer["edit"]["uri"], answer["edit"]["version"], answer["edit"]["kind"]) == (URI, 5, "rename")


async def test_next_edit_after_an_accepted_one_proposes_the_next_place(editor: Editor) -> None:
    await editor.start()
    editor.rename()
    await editor.next_edit()
    editor.change(1, 8, 9, "width")
    assert at((await editor.next_edit())["edit"]) == (2, 8, 9, "width")
    editor.change(2, 8, 9, "width")
    assert (await editor.next_edit(invoked=True))["edit"] is None


async def test_next_edit_that_was_refused_does_not_come_back(editor: Editor) -> None:
    await editor.start()
    editor.rename()
    first = (await editor.next_edit())["edit"]
    editor.notify("dgls/nextEditAnswered", {"id": first["id"], "accepted": False})
    assert at((await editor.next_edit())["edit"]) == (2, 8, 9, "width")


async def test_next_edit_asked_twice_is_the_same(editor: Editor) -> None:
    await editor.start()
    editor.rename()
    assert await editor.next_edit() == await editor.next_edit()


async def test_next_edit_is_off_by_default_but_for_users_who_ask(editor: Editor) -> None:
    await editor.start(nextEdit=None)
    editor.rename()
    assert await editor.next_edit() == {"edit": None, "reason": ""}
    assert (await editor.next_edit(invoked=True))["edit"] is not None


async def test_next_edit_without_an_edit_says_so_to_users_who_ask(editor: Editor) -> None:
    await editor.start()
    assert await editor.next_edit() == {"edit": None, "reason": ""}
    assert "no small edit" in (await editor.next_edit(invoked=True))["reason"]


async def test_next_edit_that_the_model_does_not_agree_to_is_not_proposed() -> None:
    editor = Editor(Script(gain=-5.0))
    await editor.start()
    editor.rename()
    assert await editor.next_edit() == {"edit": None, "reason": ""}
    assert "does not agree" in (await editor.next_edit(invoked=True))["reason"]
    editor.session.close(1)


async def test_next_edit_of_a_model_that_scores_nothing_says_so() -> None:
    editor = Editor(Script(), scores=False)
    await editor.start()
    editor.rename()
    assert "scores no texts" in (await editor.next_edit(invoked=True))["reason"]
    editor.session.close(1)


async def test_next_edit_for_another_version_is_none(editor: Editor) -> None:
    await editor.start()
    editor.rename()
    asking = editor.asking(invoked=True)
    asking["textDocument"]["version"] = 3
    assert (await editor.request("dgls/nextEdit", asking))["edit"] is None


@pytest.mark.parametrize("ends", ["a key", "closing"])
async def test_next_edit_ends_when_the_document_changes(ends: str, tmp_path: Path) -> None:
    editor = Editor(Script(steps=2000, step_ms=5, journal=str(tmp_path / "journal")))
    await editor.start()
    editor.rename()
    asked = editor.ask("dgls/nextEdit", editor.asking())
    await scored(tmp_path / "journal", 1)
    if ends == "a key":
        editor.change(0, 0, 0, "x")
    else:
        editor.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert await editor.reply(asked) == {"edit": None, "reason": ""}
    editor.session.close(1)


async def test_next_edit_waits_for_a_suggestion_and_begins_again(tmp_path: Path) -> None:
    editor = Editor(Script(steps=40, step_ms=5, journal=str(tmp_path / "journal")))
    await editor.start()
    editor.rename()
    asked = editor.ask("dgls/nextEdit", editor.asking())
    await scored(tmp_path / "journal", 1)
    place = {"textDocument": {"uri": URI}, "position": {"line": 3, "character": 12}}
    await editor.request("textDocument/inlineCompletion", {**place, "context": {"triggerKind": 1}})
    assert at((await editor.reply(asked))["edit"]) == (1, 8, 9, "width")
    await scored(tmp_path / "journal", 2)
    editor.session.close(1)


async def scored(journal: Path, times: int) -> None:
    """Wait until the engine was asked so often to score texts."""
    async with asyncio.timeout(PATIENCE):
        while not journal.exists() or journal.read_text(encoding="utf-8").count('"scores"') < times:
            await asyncio.sleep(0.005)


async def test_next_edit_of_a_closed_document_leaves_nothing(editor: Editor) -> None:
    await editor.start()
    editor.rename()
    assert (await editor.next_edit())["edit"] is not None
    editor.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert editor.session.edited is None


async def test_next_edit_in_another_open_file_that_is_excluded_is_not_proposed(editor: Editor) -> None:
    await editor.start(exclude=["b.py"])
    editor.open(OTHER, "from a import f\n")
    editor.open("file:///c.py", "from a import f\n")
    editor.change(0, 4, 5, "g")
    places = (await editor.request("dgls/nextEditPlaces", editor.asking()))["places"]
    assert [place["uri"] for place in places] == ["file:///c.py"]


async def test_next_edit_of_a_changed_function_is_its_call_in_another_open_file(editor: Editor) -> None:
    await editor.start()
    editor.open(OTHER, "from a import f\n\nf(w=1)\n")
    editor.change(0, 6, 7, "width")
    places = (await editor.request("dgls/nextEditPlaces", editor.asking()))["places"]
    assert [(place["uri"], place["kind"], *at(place)) for place in places][-1] == (OTHER, "call", 2, 2, 3, "width")


async def test_next_edits_of_a_cell_go_through_the_cells_of_its_notebook(editor: Editor) -> None:
    await editor.start()
    editor.open(OTHER, "from note import df\ndf\n")
    editor.open_notebook("df = load()", "%time df\nprint(df)", "def f(df):\n    return df", "df.head()")
    for number, key in enumerate("data"):
        editor.change_cell(0, 0, 2 + number, 2 + number, key)
    editor.change_cell(0, 0, 0, 2, "")
    first = (await editor.next_edit(uri=cell(0)))["edit"]
    assert (first["uri"], first["version"], at(first)) == (cell(1), 1, (1, 6, 8, "data"))
    editor.change_cell(1, 1, 6, 8, "data")
    second = (await editor.next_edit(uri=cell(1)))["edit"]
    assert (second["uri"], second["version"], at(second)) == (cell(3), 1, (0, 0, 2, "data"))
    editor.change_cell(3, 0, 0, 2, "data")
    assert (await editor.next_edit(True, cell(3)))["edit"] is None


async def test_next_edits_of_a_cell_are_none_in_another_notebooks_cells_or_where_cells_are_files(
    editor: Editor,
) -> None:
    await editor.start()
    editor.open_notebook("df = load()")
    editor.open("vscode-notebook-cell:/project/other.ipynb#1", "print(df)")
    editor.change_cell(0, 0, 0, 2, "data")
    places = await editor.request("dgls/nextEditPlaces", editor.asking(uri=cell(0)))
    assert places == {"places": []}


async def test_next_edits_of_a_file_go_on_in_the_notebooks_that_import_it(editor: Editor) -> None:
    await editor.start()
    editor.open_notebook("%%bash\nls", "from a import f", "# nothing", "f(w=1)\n!echo f(w=1)")
    editor.change(0, 6, 7, "width")
    places = (await editor.request("dgls/nextEditPlaces", editor.asking()))["places"]
    assert [(place["uri"], *at(place)) for place in places][2:] == [(cell(3), 0, 2, 3, "width")]


async def test_places_are_listed_without_a_model(editor: Editor, tmp_path: Path) -> None:
    await editor.start(nextEdit=False)
    editor.rename()
    places = (await editor.request("dgls/nextEditPlaces", editor.asking()))["places"]
    assert [at(place) for place in places] == [(1, 8, 9, "width"), (2, 8, 9, "width")]


async def test_copilots_request_gets_the_same_in_its_form(editor: Editor) -> None:
    await editor.start()
    editor.rename()
    asking = {
        "textDocument": {"uri": URI, "version": 5, "languageId": "python"},
        "position": {"line": 0, "character": 11},
        "context": {"triggerKind": 2},
    }
    (edit,) = (await editor.request("textDocument/copilotInlineEdit", asking))["edits"]
    assert at(edit) == (1, 8, 9, "width")
    assert edit["textDocument"] == {"uri": URI, "version": 5}
    editor.notify("textDocument/didShowInlineEdit", {"item": {"command": edit["command"]}})
    editor.change(1, 8, 9, "width")
    assert await editor.request("workspace/executeCommand", edit["command"]) == {"applied": False}
    (edit,) = (await editor.request("textDocument/copilotInlineEdit", {**asking, "textDocument": {"uri": URI}}))[
        "edits"
    ]
    assert at(edit) == (2, 8, 9, "width")


async def test_known_next_edit_is_a_quickfix_anywhere_in_its_document(editor: Editor) -> None:
    await editor.start()
    editor.rename()
    place = {"start": {"line": 3, "character": 0}, "end": {"line": 3, "character": 0}}
    asking = {"textDocument": {"uri": URI}, "range": place, "context": {"diagnostics": [], "only": ["quickfix"]}}
    assert await editor.request("textDocument/codeAction", asking) == []
    await editor.next_edit()
    (action,) = await editor.request("textDocument/codeAction", asking)
    assert action["title"] == "Apply the next edit in line 2: a = width"
    (change,) = action["edit"]["changes"][URI]
    assert at(change) == (1, 8, 9, "width")
    editor.change(3, 0, 0, " ")
    assert await editor.request("textDocument/codeAction", asking) == []


@pytest.mark.parametrize("method", ["dgls/nextEdit", "dgls/nextEditPlaces", "textDocument/copilotInlineEdit"])
@pytest.mark.parametrize(
    "params", [None, {}, [], {"textDocument": {"uri": 3}, "position": {"line": 0, "character": 0}}]
)
async def test_bad_parameters_are_answered_with_an_error(editor: Editor, method: str, params: object) -> None:
    await editor.start()
    assert (await editor.request(method, params))["code"] == -32602
