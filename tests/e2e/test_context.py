"""What the engine sees of a real workspace, and which files get no automatic suggestions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.context.workspace import plant
from tests.e2e.acting import RESOLVE, capable, edited, listing, place, titled
from tests.e2e.test_inline_completion import AUTOMATIC, INVOKED, METHOD, Journal, ready, texts
from tests.e2e.wire import Message, Wire, completion, insertion

FILES = {
    ".git/HEAD": "",
    ".gitignore": "local.py\n",
    ".env": "x = \n",
    "local.py": "def local(): ...\n",
    "made.py": "def made(): ...\n",
    "plain.py": "def plain(a, b): ...\n",
}
MAIN = "from plain import plain\nfrom local import local\nfrom made import made\nfrom env import x\n" + "f = 1\n" * 200


def at_end(uri: str, text: str, kind: int) -> Message:
    return completion(uri, text.count("\n"), len(text.rsplit("\n", 1)[-1]), kind)


def workspace(root: Path, **settings: object) -> Message:
    plant(root, FILES)
    (root / "env.py").symlink_to(root / ".env")
    folder = {"uri": root.as_uri(), "name": "project"}
    return {"workspaceFolders": [folder], "initializationOptions": {"exclude": ["made.py"], **settings}}


async def snippets(wire: Wire, journal: Journal, uri: str, text: str) -> list[Any]:
    asked = await wire.request(METHOD, at_end(uri, text, AUTOMATIC))
    assert texts(asked)
    return [snippet for entry in journal.entries("infill")[-1:] for snippet in entry["snippets"]]


@pytest.mark.parametrize(("name", "quiet"), [(".env", True), ("made.py", True), ("local.py", False), ("a.py", False)])
async def test_completion_in_an_excluded_file_is_quiet_unless_invoked(tmp_path: Path, name: str, quiet: bool) -> None:
    root = tmp_path / "project"
    async with ready(tmp_path, workspace(root), texts=["1"]) as (wire, journal):
        uri = (root / name).as_uri()
        wire.open(uri, "x = ")
        assert texts(await wire.request(METHOD, at_end(uri, "x = ", AUTOMATIC))) == ([] if quiet else ["1"])
        assert len(journal.entries("infill")) == (0 if quiet else 1)
        assert texts(await wire.request(METHOD, at_end(uri, "x = ", INVOKED))) == ["1"]


@pytest.mark.parametrize(("name", "rest"), [(".env", []), ("a.py", ["2"])])
async def test_completion_in_an_excluded_file_does_not_serve_the_rest_of_an_invoked_one(
    tmp_path: Path, name: str, rest: list[str]
) -> None:
    root = tmp_path / "project"
    async with ready(tmp_path, workspace(root), texts=["12"]) as (wire, _):
        uri = (root / name).as_uri()
        wire.open(uri, "x = \n")
        assert texts(await wire.request(METHOD, completion(uri, 0, 4, INVOKED))) == ["12"]
        wire.notify("textDocument/didChange", insertion(uri, 2, 0, 4, "1"))
        assert texts(await wire.request(METHOD, completion(uri, 0, 5, AUTOMATIC))) == rest


async def test_action_in_an_excluded_file_works(tmp_path: Path) -> None:
    root = tmp_path / "project"
    async with ready(tmp_path, {**workspace(root), **capable()}, texts=["x = 2"]) as (wire, _):
        uri, text = (root / "made.py").as_uri(), "x = 1\n"
        wire.open(uri, text)
        action = await titled(wire, listing(uri, place(text, "x = 1")), "Rewrite selection")
        assert edited(text, (await wire.request(RESOLVE, action))["edit"]) == "x = 2\n"


async def test_engine_sees_imported_files_but_no_secrets(tmp_path: Path) -> None:
    root = tmp_path / "project"
    initialize = workspace(root, context={"imports": "on", "openFiles": "on"})
    async with ready(tmp_path, initialize, texts=["1"]) as (wire, journal):
        text = MAIN + "secret = "
        wire.open((root / ".env").as_uri(), "def secret(): ...\n")
        wire.open((root / "main.py").as_uri(), text)
        shown = await snippets(wire, journal, (root / "main.py").as_uri(), text)
        assert shown == ["def plain(a, b):\n"]


async def test_engine_without_instruction_tuning_sees_no_other_files_by_default(tmp_path: Path) -> None:
    root = tmp_path / "project"
    async with ready(tmp_path, workspace(root), texts=["1"]) as (wire, journal):
        text = MAIN + "x = "
        wire.open((root / "main.py").as_uri(), text)
        assert await snippets(wire, journal, (root / "main.py").as_uri(), text) == []
