"""Which cells the session holds after a client's messages, well-formed or not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from dgls.code.document import Document
from dgls.context.exclusion import Excluded
from dgls.server.lsp_server import Server, build
from dgls.server.settings import ContextSettings
from dgls_engine.profile import Profile
from tests.context.workspace import plant
from tests.e2e.fake_server import FakeEngine, Script
from tests.server.test_memory import Client

NOTEBOOK = "file:///project/note.ipynb"


def uri(name: str) -> str:
    return f"vscode-notebook-cell:/project/note.ipynb#{name}"


def listed(name: str, kind: int = 2) -> dict[str, Any]:
    return {"kind": kind, "document": uri(name)}


def item(name: str, text: str | None = None, language: str = "python") -> dict[str, Any]:
    return {"uri": uri(name), "languageId": language, "version": 1, "text": f"{name} = 1" if text is None else text}


def opening(*names: str) -> dict[str, Any]:
    notebook = {"uri": NOTEBOOK, "notebookType": "jupyter-notebook", "version": 1, "cells": list(map(listed, names))}
    return {"notebookDocument": notebook, "cellTextDocuments": list(map(item, names))}


def change(**cells: Any) -> dict[str, Any]:
    return {"notebookDocument": {"uri": NOTEBOOK, "version": 2}, "change": {"cells": cells}}


def splice(start: int, count: int, names: str = "", opened: str = "", closed: str = "") -> dict[str, Any]:
    array = {"start": start, "deleteCount": count, "cells": list(map(listed, names))}
    did_close = [{"uri": uri(name)} for name in closed]
    return change(structure={"array": array, "didOpen": list(map(item, opened)), "didClose": did_close})


def edited(name: str, *changes: dict[str, Any], version: int | None = 2) -> dict[str, Any]:
    return change(textContent=[{"document": {"uri": uri(name), "version": version}, "changes": list(changes)}])


async def connected() -> tuple[Client, Server]:
    server = build(lambda settings, on_loading: FakeEngine(Script(), settings))
    client = Client(server)
    await client.send("initialize", {"processId": None, "rootUri": None, "capabilities": {}}, id=0)
    await client.send("initialized", {})
    return client, server


INSERT = {"range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}, "text": "x"}
FOLLOWED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a cell is added": (splice(1, 0, "n", "n"), ["a = 1", "n = 1", "b = 1", "c = 1"]),
    "one is removed": (splice(1, 1, closed="b"), ["a = 1", "c = 1"]),
    "one is removed, and its text not closed": (splice(1, 1), ["a = 1", "c = 1"]),
    "all are removed": (splice(0, 3, closed="abc"), []),
    "two are swapped": (splice(0, 2, "ba"), ["b = 1", "a = 1", "c = 1"]),
    "one is opened again": (splice(2, 1, "c", "c", "c"), ["a = 1", "b = 1", "c = 1"]),
    "one has no text": (splice(3, 0, "n"), ["a = 1", "b = 1", "c = 1"]),
    "a text belongs to no cell": (splice(3, 0, "", "n"), ["a = 1", "b = 1", "c = 1"]),
    "one is edited": (edited("b", INSERT), ["a = 1", "xb = 1", "c = 1"]),
    "one is edited twice": (edited("b", INSERT, INSERT), ["a = 1", "xxb = 1", "c = 1"]),
    "one is replaced, without a version": (edited("b", {"text": "y"}, version=None), ["a = 1", "y", "c = 1"]),
    "the end is past the end": (
        edited(
            "b", {"range": {"start": {"line": 0, "character": 2**40}, "end": {"line": 9, "character": 0}}, "text": "0"}
        ),
        ["a = 1", "b = 10", "c = 1"],
    ),
    "only data changes": (change(data=[listed("a")]), ["a = 1", "b = 1", "c = 1"]),
    "nothing changes": ({**change(), "change": {}}, ["a = 1", "b = 1", "c = 1"]),
}
LOST: dict[str, dict[str, Any]] = {
    "an index past the end": splice(4, 0, "n", "n"),
    "more cells removed than there are": splice(2, 2),
    "a negative index": splice(-1, 0, "n", "n"),
    "an edit of an unknown cell": edited("z", INSERT),
    "a text that is null": edited("b", {"text": None}),
    "the URI of a cell that is a number": change(
        structure={"array": {"start": 0, "deleteCount": 0, "cells": [{"kind": 2, "document": 5}]}}
    ),
    "an item's text that is null": change(
        structure={
            "array": {"start": 0, "deleteCount": 0, "cells": [listed("n")]},
            "didOpen": [{**item("n"), "text": None}],
        }
    ),
    "an array that is text": change(structure={"array": "all"}),
}


def texts(server: Server) -> list[str]:
    session = server.session
    return [session.documents[cell.uri].text for cell in session.notebooks[NOTEBOOK] if cell.uri in session.documents]


@pytest.mark.parametrize("name", FOLLOWED)
async def test_change_of_a_notebook_is_followed(name: str) -> None:
    client, server = await connected()
    await client.send("notebookDocument/didOpen", opening("a", "b", "c"))
    message, expected = FOLLOWED[name]
    await client.send("notebookDocument/didChange", message)
    assert texts(server) == expected
    assert len(server.session.documents) == len(expected)
    server.session.close(1)


@pytest.mark.parametrize("name", LOST)
async def test_notebook_with_a_change_that_is_lost_is_closed_until_it_is_opened_again(name: str) -> None:
    client, server = await connected()
    session = server.session
    other = {"uri": "file:///other.py", "languageId": "python", "version": 1, "text": "x = 1"}
    await client.send("textDocument/didOpen", {"textDocument": other})
    await client.send("notebookDocument/didOpen", opening("a", "b", "c"))
    for _ in range(2):
        await client.send("notebookDocument/didChange", LOST[name])
        assert (list(session.documents), session.notebooks, session.out_of_step) == (["file:///other.py"], {}, {})
    await client.send("notebookDocument/didOpen", opening("a", "b"))
    assert texts(server) == ["a = 1", "b = 1"]
    session.close(1)


async def test_change_of_an_unknown_document_may_be_one_of_any_notebook() -> None:
    client, server = await connected()
    await client.send("notebookDocument/didOpen", opening("a", "b"))
    server.conversation.lost(None)
    assert (server.session.documents, server.session.notebooks, server.session.out_of_step) == ({}, {}, {})
    server.session.close(1)


async def test_cell_with_an_edit_that_cannot_be_applied_is_out_of_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = await connected()
    await client.send("notebookDocument/didOpen", opening("a", "b"))

    def fail(*arguments: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patched:
        patched.setattr("dgls.code.document.Document.apply", fail)
        await client.send("notebookDocument/didChange", edited("b", INSERT))
    assert texts(server) == ["a = 1"]
    await client.send("notebookDocument/didChange", edited("b", {"text": "y"}, version=3))
    assert texts(server) == ["a = 1", "y"]
    server.session.close(1)


async def test_notebook_that_is_opened_again_or_closed_keeps_no_old_cell() -> None:
    client, server = await connected()
    await client.send("notebookDocument/didOpen", opening("a", "b"))
    await client.send("notebookDocument/didOpen", opening("c"))
    assert list(server.session.documents) == [uri("c")]
    await client.send("notebookDocument/didClose", {"notebookDocument": {"uri": NOTEBOOK}, "cellTextDocuments": []})
    assert (server.session.documents, server.session.notebooks) == ({}, {})
    server.session.close(1)


async def test_view_of_a_cell_joins_code_cells_of_its_language_alone() -> None:
    client, server = await connected()
    session = server.session
    cells = [listed("a"), listed("prose", kind=1), listed("q"), listed("c")]
    items = [item("a"), item("prose", "p = 1"), item("q", "SELECT 1", "sql"), item("c")]
    notebook = {"uri": NOTEBOOK, "notebookType": "jupyter-notebook", "version": 1, "cells": cells}
    await client.send("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": items})
    assert session.view(session.documents[uri("c")]).written == "a = 1\n\n\nc = 1"
    assert session.view(session.documents[uri("prose")]).written == "p = 1"
    await client.send("notebookDocument/didChange", edited("a", INSERT))
    assert session.view(session.documents[uri("c")]).written == "xa = 1\n\n\nc = 1"
    session.close(1)


async def test_cell_has_the_path_and_the_exclusions_of_its_notebook(tmp_path: Path) -> None:
    plant(tmp_path, {"secrets.env": "", ".env": ""})
    (tmp_path / "plain.ipynb").symlink_to(tmp_path / ".env")
    client, server = await connected()
    session = server.session
    session.set_folders((tmp_path.as_uri(),))
    for name, reason in (("plain.ipynb", Excluded.SECRET), ("sub/b c.ipynb", None)):
        notebook = (tmp_path / name).as_uri()
        cells = [f"{notebook.replace('file://', 'vscode-notebook-cell:')}#1", "jupyter:cell-1"]
        opened = {"uri": notebook, "notebookType": "jupyter-notebook", "version": 1}
        opened["cells"] = [{"kind": 2, "document": cell} for cell in cells]  # type: ignore[assignment]
        items = [{"uri": cell, "languageId": "python", "version": 1, "text": "x = 1"} for cell in cells]
        alone = [cells[0]]
        for cell in alone:  # as a client without notebooks opens it
            assert session.shown_path(cell) == name
            assert await session.excluded(cell, time.monotonic() + 60) is reason
        await client.send("notebookDocument/didOpen", {"notebookDocument": opened, "cellTextDocuments": items})
        for cell in cells:
            assert session.shown_path(cell) == name
            assert await session.excluded(cell, time.monotonic() + 60) is reason
        await client.send("notebookDocument/didClose", {"notebookDocument": {"uri": notebook}, "cellTextDocuments": []})
    session.close(1)


async def test_cells_import_as_their_notebook_does_and_are_no_context_for_other_files(tmp_path: Path) -> None:
    plant(tmp_path, {"sub/tools.py": "def cut(size): ...\n"})
    client, server = await connected()
    session = server.session
    session.set_folders((tmp_path.as_uri(),))
    notebook = (tmp_path / "sub" / "note.ipynb").as_uri()
    text = "def made(a): ...\n"
    uris = f"{notebook}#1", "jupyter:cell-2"
    items = [{"uri": uri, "languageId": "python", "version": 1, "text": text} for uri in uris]
    listed = [{"kind": 2, "document": uri} for uri in uris]
    opened = {"uri": notebook, "notebookType": "jupyter-notebook", "version": 1, "cells": listed}
    await client.send("notebookDocument/didOpen", {"notebookDocument": opened, "cellTextDocuments": items})
    file = Document((tmp_path / "main.py").as_uri(), 1, "python", "made()\n")
    context, until = ContextSettings("on", "on"), time.monotonic() + 60
    profile = Profile("raw", "pad", 256, max_prompt_tokens=256, before_tokens=96, after_tokens=64)
    assert await session.snippets(file, file.text, "", context, profile, until) == ()
    for own in (session.documents[uri] for uri in uris):
        (snippet,) = await session.snippets(own, "from tools import cut\n", "", context, profile, until)
        assert (snippet.path, snippet.text.strip()) == ("sub/tools.py", "def cut(size):")
    session.close(1)
