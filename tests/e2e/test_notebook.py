"""Suggestions in the cells of notebooks, over real pipes with a scripted engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.test_inline_completion import INVOKED, METHOD, ready, texts
from tests.e2e.wire import Message, Wire, completion

NOTEBOOK = "file:///project/pkg/a%20b.ipynb"
SPEAKS: Message = {"capabilities": {"notebookDocument": {"synchronization": {}}}}


def uri(name: str) -> str:
    return f"vscode-notebook-cell:/project/pkg/a%20b.ipynb#{name}"


def open_notebook(wire: Wire, cells: dict[str, str]) -> None:
    listed = [{"kind": 2, "document": uri(name)} for name in cells]
    items = [{"uri": uri(name), "languageId": "python", "version": 1, "text": text} for name, text in cells.items()]
    notebook = {"uri": NOTEBOOK, "notebookType": "jupyter-notebook", "version": 1, "cells": listed}
    wire.notify("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": items})


def change(wire: Wire, **cells: Any) -> None:
    notebook = {"uri": NOTEBOOK, "version": 2}
    wire.notify("notebookDocument/didChange", {"notebookDocument": notebook, "change": {"cells": cells}})


def typed(name: str, line: int, character: int, text: str) -> Message:
    at = {"line": line, "character": character}
    document = {"uri": uri(name), "version": 2}
    return {"document": document, "changes": [{"range": {"start": at, "end": at}, "text": text}]}


async def test_server_announces_the_notebooks_that_it_follows(tmp_path: Path) -> None:
    async with ready(tmp_path, waited=False) as (wire, _):
        result = (await wire.reply(1))["result"]
        assert "notebookDocumentSync" not in result["capabilities"]
    async with ready(tmp_path, SPEAKS, waited=False) as (wire, _):
        result = (await wire.reply(1))["result"]
        selector = [{"notebook": "jupyter-notebook", "cells": [{"language": "*"}]}]
        assert result["capabilities"]["notebookDocumentSync"] == {"notebookSelector": selector}


async def test_cell_is_filled_among_the_cells_around_it_and_the_edit_is_in_the_cell(tmp_path: Path) -> None:
    async with ready(tmp_path, SPEAKS, texts=["load(path)"]) as (wire, journal):
        open_notebook(wire, {"a": "%time x\npath = 1", "b": "\ndata = \nx = 1", "c": "print(data)"})
        at = {"line": 1, "character": 7}
        item = {"insertText": "load(path)", "range": {"start": at, "end": at}}
        assert await wire.request(METHOD, completion(uri("b"), 1, 7)) == {"items": [item]}
        (asked,) = journal.entries("infill")
        assert asked["path"] == "pkg/a b.ipynb"
        before, _, after = asked["segments"]
        assert (before, after) == ("%time x\npath = 1\n\n\n\ndata = ", "\nx = 1\n\n\nprint(data)")
        change(wire, textContent=[typed("b", 1, 7, "load")])
        assert texts(await wire.request(METHOD, completion(uri("b"), 1, 11))) == ["(path)"]
        assert len(journal.entries("infill")) == 1, "what the user types through needs no engine"
        cell = {"kind": 2, "document": uri("n")}
        item = {"uri": uri("n"), "languageId": "python", "version": 1, "text": "n = 1"}
        change(wire, structure={"array": {"start": 0, "deleteCount": 1, "cells": [cell]}, "didOpen": [item]})
        wire.notify("notebookDocument/didSave", {"notebookDocument": {"uri": NOTEBOOK}})
        assert texts(await wire.request(METHOD, completion(uri("b"), 1, 11, INVOKED))) == ["load(path)"]
        assert journal.entries("infill")[-1]["segments"][0] == "n = 1\n\n\n\ndata = load"


async def test_magic_lines_get_only_invoked_suggestions(tmp_path: Path) -> None:
    async with ready(tmp_path, SPEAKS, texts=["x"]) as (wire, _):
        open_notebook(wire, {"a": "%time ", "b": "%%bash\necho "})
        for name, line, character in (("a", 0, 6), ("b", 1, 5)):
            assert texts(await wire.request(METHOD, completion(uri(name), line, character))) == []
            assert texts(await wire.request(METHOD, completion(uri(name), line, character, INVOKED))) == ["x"]


async def test_cell_that_a_client_opens_as_a_document_is_filled_alone(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["load(path)"]) as (wire, journal):
        wire.open(uri("a"), "path = 1\n")
        wire.open(uri("b"), "!ls\ndata = ")
        assert texts(await wire.request(METHOD, completion(uri("b"), 1, 7))) == ["load(path)"]
        assert texts(await wire.request(METHOD, completion(uri("b"), 0, 3))) == []
        (asked,) = journal.entries("infill")
        assert (asked["path"], asked["segments"][0]) == ("pkg/a b.ipynb", "!ls\ndata = ")


async def test_notebook_out_of_step_is_quiet_until_it_is_opened_again(tmp_path: Path) -> None:
    async with ready(tmp_path, SPEAKS, texts=["1"]) as (wire, _):
        open_notebook(wire, {"a": "x = "})
        for _ in range(2):
            change(wire, structure={"array": {"start": 9, "deleteCount": 1}})
        assert texts(await wire.request(METHOD, completion(uri("a"), 0, 4))) == []
        assert len([each for each in wire.heard if each["method"] == "window/showMessage"]) == 1
        open_notebook(wire, {"a": "x = "})
        assert texts(await wire.request(METHOD, completion(uri("a"), 0, 4))) == ["1"]


async def test_notebook_that_an_editor_shows_as_a_script_has_its_magics_left_alone(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["load(path)"]) as (wire, _):
        wire.open(NOTEBOOK, "# %%\n%time \n# %%\ndata = ")
        assert texts(await wire.request(METHOD, completion(NOTEBOOK, 1, 6))) == []
        assert texts(await wire.request(METHOD, completion(NOTEBOOK, 3, 7))) == ["load(path)"]
