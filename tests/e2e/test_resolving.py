"""What ends a chosen code action, and the message if it has no result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.acting import RESOLVE, capable, edited, listing, place, shown, titled
from tests.e2e.test_code_action import FILL, FILLED, LIGHTLY, REFINED, SCRIPT, SELECTED, TEXT
from tests.e2e.test_inline_completion import INVOKED, METHOD, SLOW, URI, ready, texts
from tests.e2e.wire import Message, completion, insertion

INVALID_PARAMS, CANCELLED = -32602, -32800
TYPED = insertion(URI, 2, 0, 0, "# ")


def undone(action: Message) -> Message:
    """The resolved action if nothing changes: Eglot would resolve it forever if it kept its data."""
    return {name: part for name, part in action.items() if name != "data"}


async def test_resolve_for_another_version_changes_nothing_and_says_so(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), **SCRIPT) as (wire, journal):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, "pass")), FILL)
        wire.notify("textDocument/didChange", TYPED)
        assert await wire.request(RESOLVE, action) == undone(action)
        wire.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        assert await wire.request(RESOLVE, action) == undone(action)
        assert shown(wire) == [
            "dgls changed nothing: the document has changed since this was asked for; ask again",
            "dgls changed nothing: the document is not open any more; open it and ask again",
        ]
        assert journal.entries("infill") == []


async def test_resolve_after_the_document_was_reopened_changes_nothing(tmp_path: Path) -> None:
    said = "dgls changed nothing: the document was closed and opened again since this was asked for; ask again"
    async with ready(tmp_path, capable(), **{**SCRIPT, **SLOW, "step_ms": 100}) as (wire, journal):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, "pass")), FILL)
        working = wire.ask(RESOLVE, action)
        await journal.wait("infill")
        item = {"uri": URI, "languageId": "python", "version": 1, "text": "# other\n" + TEXT}
        wire.send(
            {"method": "textDocument/didClose", "params": {"textDocument": {"uri": URI}}},
            {"method": "textDocument/didOpen", "params": {"textDocument": item}},
        )
        assert (await wire.reply(working))["result"] == undone(action)
        assert shown(wire) == [said]
        assert await wire.request(RESOLVE, action) == undone(action)
        assert shown(wire) == [said, said]
        assert len(journal.entries("infill")) == 1


@pytest.mark.parametrize("closed", [False, True])
async def test_resolve_while_the_document_changes_or_closes_ends_at_once(closed: bool, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), **{**SCRIPT, **SLOW}) as (wire, journal):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, "pass")), FILL)
        asked = wire.ask(RESOLVE, action)
        await journal.wait("infill")
        if closed:
            wire.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        else:
            wire.notify("textDocument/didChange", TYPED)
        assert (await wire.reply(asked))["result"] == undone(action)
        await journal.wait("cancelled")
        assert len(shown(wire)) == 1
        await wire.status("ready")


async def test_resolve_cancelled_while_the_model_loads_ends_at_once(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), waited=False, gate=str(tmp_path / "never")) as (wire, _):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, "pass")), FILL)
        older, newer = wire.ask(RESOLVE, action), wire.ask(RESOLVE, action)
        assert (await wire.reply(older))["result"] == undone(action)
        wire.notify("textDocument/didChange", TYPED)
        assert (await wire.reply(newer))["result"] == undone(action)
        assert len(shown(wire)) == 1
        wire.notify("exit")


async def test_resolve_cancelled_stops_the_engine_and_makes_no_edit(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), **{**SCRIPT, **SLOW}) as (wire, journal):
        wire.open(URI, TEXT)
        asked = wire.ask(RESOLVE, await titled(wire, listing(URI, place(TEXT, "pass")), FILL))
        await wire.status("working")
        await journal.wait("infill")
        wire.notify("$/cancelRequest", {"id": asked})
        assert (await wire.reply(asked))["error"]["code"] == CANCELLED
        (cancelled,) = await journal.wait("cancelled")
        assert cancelled["step"] < 200
        assert journal.entries("done") == []
        await wire.status("ready")
        assert shown(wire) == []


async def test_newer_action_of_a_document_cancels_the_older_one(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), **{**SCRIPT, **SLOW}) as (wire, journal):
        wire.open(URI, TEXT)
        older = await titled(wire, listing(URI, place(TEXT, "pass")), FILL)
        newer = await titled(wire, listing(URI, place(TEXT, SELECTED)), LIGHTLY)
        asked = wire.ask(RESOLVE, older)
        await journal.wait("infill")
        wire.ask(RESOLVE, newer)
        assert (await wire.reply(asked))["result"] == undone(older)
        await journal.wait("cancelled")
        await journal.wait("infill", 2)
        assert shown(wire) == []


async def test_completion_and_action_do_not_cancel_each_other(tmp_path: Path) -> None:
    script = {**SCRIPT, "steps": 40, "step_ms": 5, "texts": ["return sum(a)", "1"]}
    async with ready(tmp_path, capable(), **script) as (wire, journal):
        wire.open(URI, TEXT + "y = \n")
        completing = wire.ask(METHOD, completion(URI, 9, 4, INVOKED))
        acting = wire.ask(RESOLVE, await titled(wire, listing(URI, place(TEXT, SELECTED)), LIGHTLY))
        await journal.wait("infill", 2)
        again = wire.ask(METHOD, completion(URI, 9, 4))
        assert edited(TEXT, (await wire.reply(acting))["result"]["edit"]) == REFINED
        assert texts((await wire.reply(again))["result"])
        assert (await wire.reply(completing))["result"] == {"items": []}  # the newer completion cancelled it


GARBLED: list[object] = [
    None,
    3,
    "text",
    {},
    {"uri": 3},
    {"version": "1"},
    {"task": {"action": "fill"}},
    {"task": {"action": "sing", "span": {"start": 0, "end": 0}}},
    {"task": {"action": "fill", "span": {"start": 9, "end": 2}}},
    {"task": {"action": "fill", "span": {"start": "0", "end": 2}}},
    {"task": {"action": "refine", "span": {"start": 0, "end": 2}, "strength": 1.5}},
    {"task": {"action": "refine", "span": {"start": 0, "end": 2}, "keep": [[]]}},
    {"more": 1},
]


async def test_resolve_of_foreign_data_gets_an_error(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), **SCRIPT) as (wire, journal):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, "pass")), FILL)
        for garbled in GARBLED:
            data = {**action["data"], **garbled} if garbled and isinstance(garbled, dict) else garbled
            reply = await wire.reply(wire.ask(RESOLVE, {**action, "data": data}))
            assert reply["error"]["code"] == INVALID_PARAMS, garbled
            assert "data" in reply["error"]["message"], garbled
        reply = await wire.reply(wire.ask(RESOLVE, {"kind": 3}))
        assert reply["error"]["code"] == INVALID_PARAMS
        assert journal.entries("infill") == []
        assert edited(TEXT, (await wire.request(RESOLVE, action))["edit"]) == FILLED, "the connection did not survive"


async def test_resolve_with_a_failed_model_shows_the_error(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), waited=False, fails="No such model: pull it.") as (wire, _):
        await wire.status("failed")
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, "pass")), FILL)
        assert await wire.request(RESOLVE, action) == undone(action)
        assert shown(wire)[1:] == ["dgls changed nothing: No such model: pull it."]


async def test_resolve_with_a_result_that_does_not_parse_warns(tmp_path: Path) -> None:
    both = {"documentChanges": True, "changeAnnotationSupport": {"groupsOnLabel": True}}
    async with ready(tmp_path, capable(workspace={"workspaceEdit": both}), texts=["x = )"]) as (wire, _):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, SELECTED)), "Rewrite selection")
        edit = (await wire.request(RESOLVE, action))["edit"]
        (annotation,) = edit["changeAnnotations"].values()
        assert "does not parse" in annotation["description"]
        assert ["does not parse" in message for message in shown(wire)] == [True]


async def test_resolve_with_nothing_to_change_shows_a_message(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), corrected={}) as (wire, _):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, SELECTED)), LIGHTLY)
        assert await wire.request(RESOLVE, action) == undone(action)
        assert shown(wire) == ["dgls changed nothing: the model would leave this as it is"]
