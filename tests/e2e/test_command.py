"""The commands over real pipes: their parameters, what they change, and what a preview returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.acting import EXECUTE, capable, edited, heard, place, shown
from tests.e2e.test_inline_completion import URI, Journal, ready
from tests.e2e.wire import Message, Wire, insertion

TEXT = "def total(a):\n    pass\n\n\ndef first(a):\n    ...\n\n\nx = (a + 1)\ny = 2\nz = 3\n"
X, ALL = "x = (a + 1)", "x = (a + 1)\ny = 2\nz = 3"
INVALID_PARAMS, CANCELLED = -32602, -32800


def rewrite(part: str = X, **more: object) -> Message:
    arguments = {"uri": URI, "version": 1, "range": place(TEXT, part), **more}
    return {"command": "dgls.rewrite", "arguments": [arguments]}


def fill(part: str = "pass", **more: object) -> Message:
    arguments = {"uri": URI, "version": 1, "position": place(TEXT, part)["start"], **more}
    return {"command": "dgls.fill", "arguments": [arguments]}


def applied(wire: Wire) -> list[str]:
    """The texts after each of the server's edits."""
    return [edited(TEXT, params["edit"]) for params in heard(wire, "workspace/applyEdit")]


async def test_initialize_announces_the_commands(tmp_path: Path) -> None:
    async with ready(tmp_path, waited=False) as (wire, _):
        capabilities = wire.replies[1]["result"]["capabilities"]
        commands = ["dgls.act", "dgls.fill", "dgls.nextEditAccepted", "dgls.rewrite"]
        assert sorted(capabilities["executeCommandProvider"]["commands"]) == commands
        assert capabilities["codeActionProvider"] == {
            "codeActionKinds": ["quickfix", "refactor.rewrite", "source.fillAll.dgls"],
            "resolveProvider": True,
        }


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (rewrite(), TEXT.replace(X, "x = 0")),
        (rewrite(strength=0.5), TEXT.replace(X, "x = (a - 1)")),
        (rewrite(instruction="Simplify."), TEXT.replace(X, "x = 0")),
        (rewrite(seed=1), TEXT.replace(X, "x = 1")),
    ],
    ids=["rewrite", "refine", "instruction", "seed"],
)
async def test_command_makes_the_client_apply_one_edit(params: Message, text: str, tmp_path: Path) -> None:
    script: Message = {"texts": ["x = 0", "x = 1"], "corrected": {"+": "-"}, "instructed": True}
    async with ready(tmp_path, capable(), **script) as (wire, _):
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, params) == {"applied": True}
        assert applied(wire) == [text]
        assert shown(wire) == []


async def test_rewrite_with_kept_lines_pins_them(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["a = 1", "b = 2"]) as (wire, journal):
        wire.open(URI, TEXT)
        kept = TEXT.split("\n").index("y = 2")
        assert await wire.request(EXECUTE, rewrite(ALL, keep=[kept])) == {"applied": True}
        assert applied(wire) == [TEXT.replace(ALL, "a = 1\ny = 2\nb = 2")]
        (asked,) = journal.entries("infill")
        assert any(isinstance(segment, str) and segment.strip() == "y = 2" for segment in asked["segments"])


async def test_fill_fills_one_stub_or_all(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["return sum(a)", "return a[0]"]) as (wire, journal):
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, fill()) == {"applied": True}
        assert await wire.request(EXECUTE, fill(all=True)) == {"applied": True}
        one = TEXT.replace("pass", "return sum(a)")
        assert applied(wire) == [one, one.replace("...", "return a[0]")]
        assert len(journal.entries("infill")) == 2


async def test_rewrite_preview_returns_distinct_candidates_and_changes_nothing(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0", "x = 0", "x = )"]) as (wire, journal):
        wire.open(URI, TEXT)
        result = await wire.request(EXECUTE, rewrite(preview=True, candidates=3))
        assert heard(wire, "workspace/applyEdit") == []
        assert result["applied"] is False
        first, second = result["candidates"]
        assert edited(TEXT, first["edit"]) == TEXT.replace(X, "x = 0")
        assert edited(TEXT, second["edit"]) == TEXT.replace(X, "x = )")
        assert first["edit"]["documentChanges"][0]["textDocument"]["version"] == 1
        assert [0 <= each["confidence"] <= 1 for each in (first, second)] == [True, True]
        assert ["does not parse" in each["warning"] for each in (first, second)] == [False, True]
        assert [entry["seed"] for entry in journal.entries("infill")] == [0, 1, 2]


def without(params: Message, *names: str) -> Message:
    (given,) = params["arguments"]
    return {**params, "arguments": [{name: value for name, value in given.items() if name not in names}]}


def beyond(line: int, character: int) -> Message:
    return {
        "start": {"line": min(0, line), "character": min(0, character)},
        "end": {"line": line, "character": character},
    }


BAD: list[tuple[Message, str]] = [
    ({"command": "dgls.sing"}, "dgls.rewrite"),
    ({"command": "dgls.rewrite"}, "one argument"),
    ({"command": "dgls.rewrite", "arguments": []}, "one argument"),
    ({"command": "dgls.rewrite", "arguments": ["x"]}, "object"),
    ({"command": "dgls.fill", "arguments": [{}]}, "uri"),
    ({"command": "dgls.act", "arguments": [{}]}, "task"),
    (without(rewrite(), "version"), "version"),
    (without(fill(), "position"), "position"),
    (rewrite(uri=3), "uri"),
    (rewrite(uri="file:///never-opened.py"), "open it first"),
    (rewrite(version="1"), "version"),
    (rewrite(range={"start": {"line": 0, "character": 0}}), "range"),
    (rewrite(range={"start": {"line": 2, "character": 0}, "end": {"line": 1, "character": 0}}), "range"),
    (rewrite(range=beyond(-1, 0)), "range"),
    (rewrite(range=beyond(0, -1)), "range"),
    (rewrite(range=beyond(99, 0)), "range"),
    (rewrite(range=beyond(0, 2**31)), "range"),
    (fill(position={"line": 0, "character": -1}), "position"),
    (fill(position={"line": 99, "character": 0}), "position"),
    (rewrite(keep="all"), "keep"),
    (rewrite(keep=[-1]), "keep names line -1"),
    (rewrite(keep=[7]), "keep names line 7"),
    (rewrite(keep=[8, 9]), "keep names line 9"),
    (rewrite(X + "\n", keep=[9]), "keep names line 9"),
    (rewrite(strength=0), "strength"),
    (rewrite(strength="much"), "strength"),
    (rewrite(strength=0.5, instruction="Simplify."), "not both"),
    (rewrite(candidates=4, preview=True), "candidates"),
    (rewrite(candidates=2), "preview"),
    (rewrite(preview=1), "preview"),
    (rewrite(colour="red"), "colour"),
    (fill(all="yes"), "all"),
]


async def test_command_with_bad_parameters_names_them(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"]) as (wire, journal):
        wire.open(URI, TEXT)
        for params, named in BAD:
            reply = await wire.reply(wire.ask(EXECUTE, params))
            assert reply["error"]["code"] == INVALID_PARAMS, params
            assert named in reply["error"]["message"], params
        assert journal.entries("infill") == []
        assert await wire.request(EXECUTE, rewrite(instruction=None, keep=None)) == {"applied": True}


@pytest.mark.parametrize(
    "params",
    [
        rewrite(instruction=" \n"),
        rewrite(instruction=" ", strength=1),
        rewrite(range={"start": place(TEXT, X)["start"], "end": {"line": 8, "character": 2**31 - 1}}),
        rewrite(ALL, keep=[9, 10]),
        fill(position={"line": 0, "character": 99}),
        fill(position={"line": 0, "character": 0}, all=True),
    ],
    ids=["blank instruction", "blank beside a strength", "past the line's end", "kept", "past the end", "all"],
)
async def test_command_with_unusual_valid_parameters_applies_its_edit(params: Message, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"], corrected={"+": "-"}) as (wire, _):
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, params) == {"applied": True}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (rewrite(version=2), "has changed"),
        (rewrite(version=2, range=beyond(99, 0)), "has changed"),
        (rewrite(instruction="Simplify."), "takes no instructions"),
        (rewrite(strength=0.2), "leave this as it is"),
        (fill("y = 2"), "no stub here"),
    ],
    ids=["stale", "stale and elsewhere", "instruction", "unchanged", "no stub"],
)
async def test_command_without_a_result_shows_one_line(params: Message, said: str, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"]) as (wire, _):
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, params) == {"applied": False}
        (message,) = shown(wire)
        assert said in message
        assert "\n" not in message
        assert heard(wire, "workspace/applyEdit") == []


@pytest.mark.parametrize("answer", [{"applied": False, "failureReason": "read-only"}, {"applied": False}])
async def test_command_with_a_refused_edit_shows_the_reason(answer: Any, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"]) as (wire, _):
        wire.answers["workspace/applyEdit"] = answer
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, rewrite()) == {"applied": False}
        (message,) = shown(wire)
        assert answer.get("failureReason", "no reason") in message


async def test_command_for_a_client_without_edits_is_refused_except_a_preview(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(workspace={"applyEdit": False}), texts=["x = 0"]) as (wire, _):
        wire.open(URI, TEXT)
        assert (await wire.reply(wire.ask(EXECUTE, rewrite())))["error"]["code"] == INVALID_PARAMS
        assert len((await wire.request(EXECUTE, rewrite(preview=True)))["candidates"]) == 1


async def cancelled(wire: Wire, journal: Journal, asked: int) -> None:
    assert (await wire.reply(asked))["error"]["code"] == CANCELLED
    (stopped,) = await journal.wait("cancelled")
    assert stopped["step"] < 200
    assert heard(wire, "workspace/applyEdit") == []
    await wire.status("ready")


async def test_command_cancelled_stops_the_engine_and_makes_no_edit(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"], steps=1000, step_ms=5) as (wire, journal):
        wire.open(URI, TEXT)
        asked = wire.ask(EXECUTE, rewrite())
        await journal.wait("infill")
        wire.notify("$/cancelRequest", {"id": asked})
        await cancelled(wire, journal, asked)


async def test_command_cancelled_while_the_client_applies_the_edit_keeps_the_connection(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), wire=Hesitant, texts=["x = 0"]) as (wire, _):
        assert isinstance(wire, Hesitant)
        wire.open(URI, TEXT)
        asked = wire.ask(EXECUTE, rewrite())
        await wire.until(lambda: bool(heard(wire, "workspace/applyEdit")))
        wire.notify("$/cancelRequest", {"id": asked})
        assert (await wire.reply(asked))["error"]["code"] == CANCELLED
        wire.answer()
        wire.notify("textDocument/didChange", insertion(URI, 2, 0, 0, "# "))
        assert await wire.request(EXECUTE, rewrite()) == {"applied": False}
        assert len(shown(wire)) == 1


class Hesitant(Wire):
    """Answers the server's edit only when `answer` is called."""

    held: Any = None

    async def _take(self, message: Message) -> None:
        if message.get("method") != "workspace/applyEdit":
            await super()._take(message)
            return
        self.held = message["id"]
        await super()._take({key: value for key, value in message.items() if key != "id"})

    def answer(self) -> None:
        self.send({"id": self.held, "result": {"applied": True}})


async def test_shutdown_during_a_command_ends_it(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"], steps=1000, step_ms=5) as (wire, journal):
        wire.open(URI, TEXT)
        asked = wire.ask(EXECUTE, rewrite())
        await journal.wait("infill")
        await wire.request("shutdown")
        assert (await wire.reply(asked))["error"]["code"] == CANCELLED
        await journal.wait("closed")
        assert journal.entries("done") == []
        wire.notify("exit")


async def test_rewrite_keeps_the_line_breaks_of_the_document(tmp_path: Path) -> None:
    text = TEXT.replace("\n", "\r\n")
    async with ready(tmp_path, capable(), texts=["a = 1\nb = 2"]) as (wire, _):
        wire.open(URI, text)
        assert await wire.request(EXECUTE, rewrite(ALL)) == {"applied": True}
        (params,) = heard(wire, "workspace/applyEdit")
        new = edited(text, params["edit"])
        assert new == text.replace(ALL.replace("\n", "\r\n"), "a = 1\r\nb = 2")
