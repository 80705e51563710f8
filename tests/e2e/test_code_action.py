"""Code actions over real pipes: which ones are listed for which client, and the edit of a resolved one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from tests.e2e.acting import CLIENTS, LIST, RESOLVE, capable, edited, heard, listing, place, recorded, shown, titled
from tests.e2e.test_inline_completion import URI, ready
from tests.e2e.wire import Message, insertion

TEXT = (
    'face = "\U0001f600"\r\n\r\n\r\ndef total(a):\r\n    """Sum \U0001f600."""\r\n    pass\r\n\r\n\r\nx = (a + 1)\r\n'
)
FILLED = TEXT.replace("pass", "return sum(a)")
REFINED = TEXT.replace("(a + 1)", "(a - 1)")
SELECTED = "x = (a + 1)"
FILL, LIGHTLY = "Fill here", "Refine selection lightly"
Encoding = Literal["utf-8", "utf-16", "utf-32"]
EDITORS: dict[str, tuple[Encoding, bool, bool, bool]] = {
    "eglot": ("utf-32", True, False, False),
    "helix": ("utf-8", True, False, False),
    "lsp-mode": ("utf-32", True, False, False),
    "neovim": ("utf-8", False, False, False),
    "vscode": ("utf-16", True, True, True),
}
"""By client: its encoding, and whether it gets versions, annotations and tags."""
SCRIPT: dict[str, Any] = {"texts": ["return sum(a)"], "corrected": {"+": "-"}}


def test_code_actions_every_recorded_client_is_tested() -> None:
    assert sorted(path.stem.split("-", 1)[1] for path in CLIENTS) == sorted(
        next(path.stem.split("-", 1)[1] for path in CLIENTS if name in path.stem) for name in EDITORS
    )
    assert len(CLIENTS) == len(EDITORS)


@pytest.mark.parametrize("editor", EDITORS)
async def test_resolve_by_a_recorded_client_fills_a_stub_and_refines_a_selection(editor: str, tmp_path: Path) -> None:
    encoding, versions, annotates, tags = EDITORS[editor]
    async with ready(tmp_path, recorded(editor), **SCRIPT) as (wire, _):
        wire.open(URI, TEXT, version=7)
        for title, part, expected in ((FILL, "pass", FILLED), (LIGHTLY, SELECTED, REFINED)):
            action = await titled(wire, listing(URI, place(TEXT, part, encoding)), title)
            assert action["kind"] == "refactor.rewrite"
            assert "edit" not in action
            assert "command" not in action
            assert ("tags" in action, action.get("tags", [1])) == (tags, [1])
            resolved = await wire.request(RESOLVE, action)
            edit = resolved.pop("edit")
            assert resolved == action
            assert edited(TEXT, edit, encoding) == expected
            assert ("documentChanges" in edit, "changeAnnotations" in edit) == (versions, annotates)
            if versions:
                (one,) = edit["documentChanges"]
                assert one["textDocument"] == {"uri": URI, "version": 7}
                assert all(("annotationId" in each) == annotates for each in one["edits"])
            if annotates:
                (annotation,) = edit["changeAnnotations"].values()
                assert annotation["needsConfirmation"] is False
        assert shown(wire) == []


async def test_list_while_the_model_loads_answers_without_the_engine(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), **SCRIPT) as (wire, journal):
        wire.open(URI, TEXT)
        found = await wire.request(LIST, listing(URI, place(TEXT, SELECTED)))
        assert LIGHTLY in [action["title"] for action in found]
        assert journal.entries("infill") == []
        assert await wire.request(LIST, listing("file:///never-opened.py", place(TEXT, "x"))) == []


WANTED: list[tuple[list[str] | None, set[str]]] = [
    (None, {"quickfix", "refactor.rewrite"}),
    ([], {"quickfix", "refactor.rewrite"}),
    ([""], {"quickfix", "refactor.rewrite", "source.fillAll.dgls"}),
    (["refactor"], {"refactor.rewrite"}),
    (["refactor.rewrite"], {"refactor.rewrite"}),
    (["refactor.rewrite.more"], set()),
    (["refactor.extract"], set()),
    (["ref"], set()),
    (["quickfix"], {"quickfix"}),
    (["source"], {"source.fillAll.dgls"}),
    (["source.fillAll"], {"source.fillAll.dgls"}),
    (["source.organizeImports", "quickfix"], {"quickfix"}),
]


async def test_list_with_only_returns_the_requested_kinds(tmp_path: Path) -> None:
    diagnostic = {"range": place(TEXT, "pass"), "message": "Unfinished", "severity": 2, "source": "lint", "code": 3}
    async with ready(tmp_path, capable()) as (wire, _):
        wire.open(URI, TEXT)
        for only, kinds in WANTED:
            wanted = {} if only is None else {"only": only}
            found = await wire.request(LIST, listing(URI, place(TEXT, "pass"), diagnostics=[diagnostic], **wanted))
            assert {action["kind"] for action in found} == kinds, only
            for action in found:
                assert action.get("diagnostics") == ([diagnostic] if action["kind"] == "quickfix" else None), only


async def test_list_away_from_a_stub_offers_fill_all_as_a_source_action(tmp_path: Path) -> None:
    async with ready(tmp_path, capable()) as (wire, _):
        wire.open(URI, TEXT)
        kinds = {
            part: {action["kind"] for action in await wire.request(LIST, listing(URI, place(TEXT, part)))}
            for part in ("x", "pass")
        }
        assert "source.fillAll.dgls" in kinds["x"]
        assert "source.fillAll.dgls" not in kinds["pass"]


@pytest.mark.parametrize("instructed", [False, True])
async def test_list_offers_instructions_only_with_a_model_that_takes_them(instructed: bool, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), instructed=instructed, texts=["x = a"]) as (wire, journal):
        wire.open(URI, TEXT)
        found = await wire.request(LIST, listing(URI, place(TEXT, SELECTED)))
        simplify = [action for action in found if action["title"].startswith("Simplify")]
        assert len(simplify) == instructed
        for action in simplify:
            resolved = await wire.request(RESOLVE, action)
            assert edited(TEXT, resolved["edit"]) == TEXT.replace(SELECTED, "x = a")
            assert journal.entries("infill")[0]["instruction"]


async def test_resolve_before_the_model_is_open_waits_for_it(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = {**SCRIPT, "instructed": True, "gate": str(gate)}
    async with ready(tmp_path, capable(), waited=False, **script) as (wire, _):
        wire.open(URI, TEXT)
        params = listing(URI, place(TEXT, SELECTED))
        found = await wire.request(LIST, params)
        assert not [action for action in found if action["title"].startswith("Simplify")]
        asked = wire.ask(RESOLVE, next(action for action in found if action["title"] == LIGHTLY))
        assert await wire.request(LIST, params) == found or asked not in wire.replies
        gate.touch()
        assert edited(TEXT, (await wire.reply(asked))["result"]["edit"]) == REFINED
        assert [action for action in await wire.request(LIST, params) if action["title"].startswith("Simplify")]


async def test_fix_that_changed_nothing_got_the_message_and_is_not_listed_again(tmp_path: Path) -> None:
    diagnostic = {"range": place(TEXT, "a + 1"), "message": "No such name\nSee the handbook"}
    async with ready(tmp_path, capable(), corrected={}, texts=["x = (a + 1)"]) as (wire, journal):
        wire.open(URI, TEXT)
        params = listing(URI, place(TEXT, "a + 1"), diagnostics=[diagnostic], only=["quickfix"])
        (action,) = await wire.request(LIST, params)
        assert "edit" not in await wire.request(RESOLVE, action)
        assert len(shown(wire)) == 1
        assert len(journal.entries("infill")) >= 1
        assert await wire.request(LIST, params) == []
        wire.notify("textDocument/didChange", insertion(URI, 2, 0, 0, "# "))
        assert len(await wire.request(LIST, params)) == 1


@pytest.mark.parametrize(
    "capability", [{"resolveSupport": None}, {"dataSupport": False}, {"codeActionLiteralSupport": None}]
)
async def test_list_for_a_client_that_can_not_resolve_returns_commands(capability: Message, tmp_path: Path) -> None:
    if "codeActionLiteralSupport" in capability:
        capability["resolveSupport"] = None
    async with ready(tmp_path, capable(codeAction=capability), **SCRIPT) as (wire, _):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, "pass")), FILL)
        command = action if "codeActionLiteralSupport" in capability else action["command"]
        assert command["command"] == "dgls.act"
        assert "data" not in action
        assert ("kind" in action) == ("codeActionLiteralSupport" not in capability)
        params = {"command": command["command"], "arguments": command["arguments"]}
        assert await wire.request("workspace/executeCommand", params) == {"applied": True}
        (applied,) = heard(wire, "workspace/applyEdit")
        assert edited(TEXT, applied["edit"]) == FILLED
        assert applied["label"] == "dgls: fill"


async def test_list_for_a_client_without_resolve_and_edits_is_empty(tmp_path: Path) -> None:
    neither = capable(codeAction={"resolveSupport": None}, workspace={"applyEdit": False})
    async with ready(tmp_path, neither) as (wire, _):
        wire.open(URI, TEXT)
        assert await wire.request(LIST, listing(URI, place(TEXT, "pass"))) == []
