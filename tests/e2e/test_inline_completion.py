"""Inline completion over real pipes with a scripted engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.forked import scripted
from tests.e2e.wire import Message, Wire, completion, insertion

URI = "file:///project/pkg/a%20b.py"
METHOD = "textDocument/inlineCompletion"
INVOKED, AUTOMATIC = 1, 2
SLOW: Message = {"steps": 1000, "step_ms": 5}


class Journal:
    """The requests that reached the engine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, event: str) -> list[Any]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [entry for line in lines if (entry := json.loads(line))["event"] == event]

    async def wait(self, event: str, count: int = 1) -> list[Any]:
        async with asyncio.timeout(10):
            while len(found := self.entries(event)) < count:
                await asyncio.sleep(0.005)
        return found


@asynccontextmanager
async def ready(
    tmp_path: Path, initialize: Message | None = None, waited: bool = True, wire: type[Wire] = Wire, **script: object
) -> AsyncIterator[tuple[Wire, Journal]]:
    """An initialized client. `waited`: returns when the model is ready."""
    journal = Journal(tmp_path / "journal")
    async with scripted({"journal": str(journal.path), **script}, wire=wire) as server:
        folder = {"workspaceFolders": [{"uri": "file:///project", "name": "project"}]}
        await server.wire.initialize({**folder, **(initialize or {})})
        if waited:
            await server.wire.status("ready")
        yield server.wire, journal
        assert b"Traceback" not in server.stderr, server.stderr.decode()


def texts(result: Any) -> list[str]:
    return [item["insertText"] for item in result["items"]]


async def test_item_has_an_empty_range_at_the_cursor(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["os"]) as (wire, journal):
        wire.open(URI, "import  # it\nx = 1\n")
        result = await wire.request(METHOD, completion(URI, 0, 7))
        at = {"line": 0, "character": 7}
        assert result == {"items": [{"insertText": "os", "range": {"start": at, "end": at}}]}
        (asked,) = journal.entries("infill")
        assert asked["path"] == "pkg/a b.py"
        assert asked["segments"] == ["import ", {"max": 32, "stop": "\n"}, " # it\nx = 1\n"]
        assert asked["seed"] == 0


async def test_automatic_request_before_the_model_is_ready_returns_none(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with scripted({"gate": str(gate), "texts": ["1"]}) as server:
        wire = server.wire
        await wire.initialize()
        wire.open(URI, "x = \n")
        assert await wire.request(METHOD, completion(URI, 0, 4)) == {"items": []}
        await wire.status("loading")
        asked = wire.ask(METHOD, completion(URI, 0, 4, INVOKED))
        assert await wire.request(METHOD, completion("file:///other.py", 0, 4)) == {"items": []}
        assert asked not in wire.replies
        gate.touch()
        assert texts((await wire.reply(asked))["result"]) == ["1"]


async def test_invoked_request_returns_distinct_candidates_at_any_confidence(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["1", "2", "3"], confidence=0.01) as (wire, journal):
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["1", "2", "3"]
        assert [entry["seed"] for entry in journal.entries("infill")] == [0, 1, 2]
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, AUTOMATIC))) == [], "not confident enough"


async def test_invoked_request_returns_equal_candidates_once(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["1", "1", "2"]) as (wire, _):
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["1", "2"]


async def test_automatic_request_returns_one_confident_item_or_none(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["1", "2"], confidence=0.9) as (wire, journal):
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == ["1"]
        assert len(journal.entries("infill")) == 1
    async with ready(tmp_path, texts=["1", "2"], confidence=0.1) as (wire, _):
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == []


@pytest.mark.parametrize(
    ("settings", "calibration", "shown"),
    [
        ({}, {"show_above": 0.3}, False),
        ({}, {"show_above": 0.1}, True),
        ({"minConfidence": 0.1}, {"show_above": 0.3}, True),
        ({"minConfidence": 0.3}, {"show_above": 0.1}, False),
        ({"minConfidence": None}, {"show_above": 0.1}, True),
    ],
)
async def test_threshold_of_the_model_holds_unless_the_user_sets_one(
    tmp_path: Path, settings: dict[str, object], calibration: dict[str, object], shown: bool
) -> None:
    halved = {"points": [[0.0, 0.0], [1.0, 0.5]], **calibration}
    initialize: Message = {"initializationOptions": {"inlineCompletion": settings}}
    async with ready(tmp_path, initialize, confidence=0.4, calibration=halved) as (wire, _):
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == (["filled"] if shown else [])
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["filled"]


async def test_automatic_request_cuts_the_item_before_the_first_doubtful_line(tmp_path: Path) -> None:
    body = "\n    a = 1\n    b = 2\n    return a"
    async with ready(tmp_path, texts=[body], doubted="2", confidence=0.0) as (wire, _):
        wire.open(URI, "def f():\n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 8))) == ["\n    a = 1"]
        assert texts(await wire.request(METHOD, completion(URI, 0, 8, INVOKED))) == [body]


async def test_cancel_stops_the_engine_within_one_step(tmp_path: Path) -> None:
    async with ready(tmp_path, **SLOW) as (wire, journal):
        wire.open(URI, "x = \n")
        asked = wire.ask(METHOD, completion(URI, 0, 4))
        await journal.wait("infill")
        wire.notify("$/cancelRequest", {"id": asked})
        assert (await wire.reply(asked))["error"]["code"] == -32800
        (cancelled,) = await journal.wait("cancelled")
        await wire.status("ready")
        assert cancelled["step"] < 200  # of 1000: at most a second, most of which this test takes
        assert journal.entries("done") == []


async def test_newer_request_of_a_document_cancels_the_older_one(tmp_path: Path) -> None:
    """Neovim sends no cancel, only the next request."""
    async with ready(tmp_path, texts=["1"], **SLOW) as (wire, journal):
        wire.open(URI, "x = \n")
        older = wire.ask(METHOD, completion(URI, 0, 4, INVOKED))
        await journal.wait("infill")
        newer = wire.ask(METHOD, completion(URI, 0, 4, INVOKED))
        assert (await wire.reply(older))["result"] == {"items": []}
        await journal.wait("cancelled")
        await journal.wait("infill", 2)
        assert newer not in wire.replies
        assert len(journal.entries("infill")) == 2  # the older one got no second candidate


async def test_requests_of_two_documents_do_not_cancel_each_other(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["1"], steps=5, step_ms=20) as (wire, _):
        names = ["file:///a.py", "file:///b.py"]
        for name in names:
            wire.open(name, "x = \n")
        asked = [wire.ask(METHOD, completion(name, 0, 4)) for name in names]
        assert [texts((await wire.reply(each))["result"]) for each in asked] == [["1"], ["1"]]


async def test_many_slow_requests_leave_the_loop_free(tmp_path: Path) -> None:
    async with ready(tmp_path, **SLOW) as (wire, journal):
        for name in "abcdefghijkl":
            wire.open(f"file:///{name}.py", "x = \n")
            wire.ask(METHOD, completion(f"file:///{name}.py", 0, 4))
        await journal.wait("infill")
        begun = asyncio.get_running_loop().time()
        assert (await wire.reply(wire.ask("dgls/nonsense")))["error"]["code"] == -32601
        assert asyncio.get_running_loop().time() - begun < 0.5


async def test_request_followed_by_an_edit_in_the_same_write_sees_the_text_before_it(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["1"]) as (wire, journal):
        wire.open(URI, "x = \n")
        edit = {"method": "textDocument/didChange", "params": insertion(URI, 2, 0, 0, "# gone")}
        wire.send({"id": 77, "method": METHOD, "params": completion(URI, 0, 4)}, edit)
        assert (await wire.reply(77))["result"] == {"items": []}  # it no longer fits, because the line changed
        (asked,) = journal.entries("infill")
        assert asked["segments"][0] == "x = "


async def test_item_after_typing_a_part_of_it_meanwhile_is_the_rest(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["value"], steps=20, step_ms=10) as (wire, journal):
        wire.open(URI, "x = \n")
        asked = wire.ask(METHOD, completion(URI, 0, 4))
        await journal.wait("infill")
        wire.notify("textDocument/didChange", insertion(URI, 2, 0, 4, "va"))
        at = {"line": 0, "character": 6}
        expected = {"items": [{"insertText": "lue", "range": {"start": at, "end": at}}]}
        assert (await wire.reply(asked))["result"] == expected


async def test_item_that_the_typed_text_contradicts_is_dropped(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["value"], steps=20, step_ms=10) as (wire, journal):
        wire.open(URI, "x = \n")
        asked = wire.ask(METHOD, completion(URI, 0, 4))
        await journal.wait("infill")
        wire.notify("textDocument/didChange", insertion(URI, 2, 0, 4, "no"))
        assert (await wire.reply(asked))["result"] == {"items": []}


async def test_request_for_a_document_that_closes_is_cancelled(tmp_path: Path) -> None:
    async with ready(tmp_path, **SLOW) as (wire, journal):
        wire.open(URI, "x = \n")
        asked = wire.ask(METHOD, completion(URI, 0, 4))
        await journal.wait("infill")
        wire.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        assert (await wire.reply(asked))["result"] == {"items": []}
        await journal.wait("cancelled")


async def test_request_after_typing_a_part_of_the_item_needs_no_engine(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["value"]) as (wire, journal):
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == ["value"]
        for typed in range(1, 5):
            letter = "value"[typed - 1]
            wire.notify("textDocument/didChange", insertion(URI, 1 + typed, 0, 3 + typed, letter))
            result = await wire.request(METHOD, completion(URI, 0, 4 + typed))
            assert texts(result) == ["value"[typed:]]
            assert result["items"][0]["range"]["start"] == {"line": 0, "character": 4 + typed}
        assert len(journal.entries("infill")) == 1


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 15), ("utf-16", 13), ("utf-32", 12)])
async def test_item_counts_positions_in_the_negotiated_encoding(encoding: str, character: int, tmp_path: Path) -> None:
    capabilities = {"general": {"positionEncodings": [encoding]}, "workspace": {"configuration": True}}
    async with ready(tmp_path, {"capabilities": capabilities}, texts=["1"]) as (wire, journal):
        wire.open(URI, "smile(U) +=   # end\n")
        at, after = {"line": 0, "character": 6}, {"line": 0, "character": 7}
        edit = {"range": {"start": at, "end": after}, "text": "\U0001f600"}
        change = {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [edit]}
        wire.notify("textDocument/didChange", change)
        result = await wire.request(METHOD, completion(URI, 0, character))
        assert journal.entries("infill")[0]["segments"][0] == "smile(\U0001f600) += "
        assert result["items"][0]["range"]["start"]["character"] == character


async def test_request_in_a_text_with_form_feeds_and_unicode_separators_keeps_lines(tmp_path: Path) -> None:
    text = "a = '\x0c\x0b\x85\u2028'\nb = \n"
    async with ready(tmp_path, texts=["1"]) as (wire, journal):
        wire.open(URI, text)
        wire.notify("textDocument/didChange", insertion(URI, 2, 1, 4, "2 + "))
        assert texts(await wire.request(METHOD, completion(URI, 1, 8))) == ["1"]
        assert journal.entries("infill")[0]["segments"][0] == text.rstrip("\n") + "2 + "


async def test_item_in_a_crlf_file_has_plain_line_breaks(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["\n    a = 1\n    return a"]) as (wire, _):
        wire.open(URI, "def f():\r\n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 8))) == ["\n    a = 1\n    return a"]


async def test_request_after_a_deletion_is_quiet_until_typing_or_invoked(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["1"]) as (wire, _):
        wire.open(URI, "x = abc\ny = \n")
        deleted = {"range": {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 7}}, "text": ""}
        change = {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [deleted]}
        wire.notify("textDocument/didChange", change)
        assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == []
        assert texts(await wire.request(METHOD, completion(URI, 1, 4))) == ["1"]
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["1"]
        wire.notify("textDocument/didChange", insertion(URI, 3, 0, 4, "2 + "))
        assert texts(await wire.request(METHOD, completion(URI, 0, 8))) == ["1"]


async def test_request_after_deleting_typed_text_serves_the_rest_of_the_item(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["value"]) as (wire, _):
        wire.open(URI, "x = \n")
        await wire.request(METHOD, completion(URI, 0, 4))
        wire.notify("textDocument/didChange", insertion(URI, 2, 0, 4, "vam"))
        deleted = {"range": {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 7}}, "text": ""}
        wire.notify("textDocument/didChange", {"textDocument": {"uri": URI, "version": 3}, "contentChanges": [deleted]})
        assert texts(await wire.request(METHOD, completion(URI, 0, 6))) == ["lue"]


async def test_request_with_a_selected_completion_continues_it(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["(x)"]) as (wire, journal):
        wire.open(URI, "y = pri\n")
        span = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 7}}
        params = completion(URI, 0, 7)
        params["context"]["selectedCompletionInfo"] = {"range": span, "text": "print"}
        result = await wire.request(METHOD, params)
        assert result == {"items": [{"insertText": "print(x)", "range": span}]}
        assert journal.entries("infill")[0]["segments"][0] == "y = print"


@pytest.mark.parametrize("text", ["    # a comment \n", "x = 'a string '\n"])
async def test_request_in_comments_and_strings_is_quiet_unless_invoked(text: str, tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["more"]) as (wire, journal):
        wire.open(URI, text)
        where = len(text) - 2
        assert await wire.request(METHOD, completion(URI, 0, where)) == {"items": []}
        assert journal.entries("infill") == []
        assert texts(await wire.request(METHOD, completion(URI, 0, where, INVOKED))) == ["more"]


async def test_request_in_a_language_that_is_off_is_quiet_unless_invoked(tmp_path: Path) -> None:
    async with ready(tmp_path, {"initializationOptions": {"languages": {"python": False}}}, texts=["1"]) as (
        wire,
        journal,
    ):
        wire.open(URI, "x = \n")
        assert await wire.request(METHOD, completion(URI, 0, 4)) == {"items": []}
        assert journal.entries("infill") == []
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["1"]
        wire.open("file:///b.js", "x = \n", "javascript")
        assert texts(await wire.request(METHOD, completion("file:///b.js", 0, 4))) == ["1"]


async def test_request_with_a_delay_asks_the_model_for_the_newest_alone(tmp_path: Path) -> None:
    async with ready(tmp_path, {"initializationOptions": {"inlineCompletion": {"delayMs": 200}}}, texts=["1"]) as (
        wire,
        journal,
    ):
        wire.open(URI, "x = \n")
        older, newer = (wire.ask(METHOD, completion(URI, 0, 4)) for _ in range(2))
        assert texts((await wire.reply(newer))["result"]) == ["1"]
        assert (await wire.reply(older))["result"] == {"items": []}
        assert len(journal.entries("infill")) == 1
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["1"]


async def test_invoked_request_whose_text_is_dropped_says_why(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["   "]) as (wire, _):
        wire.open(URI, "x = \n")
        assert await wire.request(METHOD, completion(URI, 0, 4)) == {"items": []}
        assert await wire.request(METHOD, completion(URI, 0, 4, INVOKED)) == {"items": []}
        shown = [m["params"] for m in wire.heard if m["method"] == "window/showMessage"]
        said = "dgls has no suggestion here: the model's text was dropped (nothing but whitespace)."
        assert shown == [{"type": 3, "message": said}]


async def test_request_for_an_unknown_document_returns_none(tmp_path: Path) -> None:
    async with ready(tmp_path) as (wire, _):
        assert await wire.request(METHOD, completion("file:///never-opened.py", 0, 0, INVOKED)) == {"items": []}


async def test_failed_model_shows_one_error_and_another_for_each_invoked_request(tmp_path: Path) -> None:
    async with scripted({"fails": "No such model: pull it."}) as server:
        wire = server.wire
        await wire.initialize()
        await wire.status("failed")
        wire.open(URI, "x = \n")
        assert await wire.request(METHOD, completion(URI, 0, 4)) == {"items": []}
        assert await wire.request(METHOD, completion(URI, 0, 4, INVOKED)) == {"items": []}
        shown = [m["params"]["message"] for m in wire.heard if m["method"] == "window/showMessage"]
        assert shown == [
            "dgls has no model: No such model: pull it.",
            "dgls has no suggestion: No such model: pull it.",
        ]


async def test_stray_output_never_reaches_the_protocol(tmp_path: Path) -> None:
    async with scripted({"texts": ["1"], "chatty": True}) as server:
        wire = server.wire
        await wire.initialize()
        await wire.status("ready")
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == ["1"]
        assert await wire.request("shutdown") is None
        wire.notify("exit")
        await server.exit_code(5)
        assert all(stray in server.stderr for stray in (b"a stray print", b"a stray child", b"a stray write"))


async def test_accept_log_after_an_accepted_and_a_refused_item_has_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_DATA_HOME", "HOME"):  # Linux, macOS
        monkeypatch.setenv(variable, str(tmp_path / "data"))
    options = {"initializationOptions": {"model": "embedded", "inlineCompletion": {"acceptLog": True}}}
    async with ready(tmp_path, options, texts=["1"], confidence=0.9) as (wire, _):
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == ["1"]
        wire.notify("textDocument/didChange", insertion(URI, 2, 0, 4, "1"))
        wire.notify("textDocument/didChange", insertion(URI, 3, 1, 0, "y = "))
        assert texts(await wire.request(METHOD, completion(URI, 1, 4))) == ["1"]
        wire.notify("textDocument/didChange", insertion(URI, 4, 1, 4, "3"))
        async with asyncio.timeout(10):
            while not (logs := list(tmp_path.rglob("*.jsonl"))) or logs[0].read_text().count("\n") < 2:
                await asyncio.sleep(0.01)
    outcomes = [json.loads(line) for line in logs[0].read_text().splitlines()]
    assert [(each["taken"], each["language"]) for each in outcomes] == [(True, "python"), (False, "python")]
    assert "x = " not in logs[0].read_text()
