"""Progress and drafts over real pipes: which clients get them, how often, and cancelling from the progress bar."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.e2e.acting import EXECUTE, RESOLVE, capable, edited, heard, listing, place, shown, titled
from tests.e2e.test_command import CANCELLED, TEXT, X, cancelled, rewrite
from tests.e2e.test_inline_completion import URI, ready
from tests.e2e.wire import Message, Wire, insertion

PAINTING: Message = {"dgls": {"draft": True}}
SLOW: Message = {"texts": ["x = 0"], "steps": 1000, "step_ms": 5}


def bars(wire: Wire) -> list[tuple[str, Message]]:
    """The progress of actions, not of the load."""
    told = [(params["token"], params["value"]) for params in heard(wire, "$/progress")]
    ours = {token for token, value in told if value.get("title", "").startswith("dgls: ")}
    return [(token, value) for token, value in told if token in ours]


async def test_drafts_for_a_client_that_wants_them_show_the_holes_in_place(tmp_path: Path) -> None:
    text = TEXT.replace("a + 1", "'\U0001f600' + 1")
    async with ready(tmp_path, capable(experimental=PAINTING), texts=["x = 0", "z = 0"], step_ms=20) as (wire, _):
        wire.open(URI, text)
        kept = text.split("\n").index("y = 2")
        where = {**place(text, "x = ('\U0001f600' + 1)"), "end": place(text, "z = 3")["end"]}
        params = rewrite(request="mine", range=where, keep=[kept])
        assert await wire.request(EXECUTE, params) == {"applied": True}
        *drafts, last = heard(wire, "dgls/draft")
        head = {"request": "mine", "uri": URI, "version": 1}
        assert last == {**head, "holes": [], "done": True}
        assert drafts
        for draft in drafts:
            assert draft == {**head, "candidate": 0, "holes": draft["holes"]}
            assert [hole["text"] for hole in draft["holes"]] == ["x = 0", "z = 0"]
            starts = [hole["range"]["start"]["line"] for hole in draft["holes"]]
            assert starts == [kept - 1, kept + 1]
            for hole in draft["holes"]:
                assert "".join(token["text"] for token in hole["tokens"]) == hole["text"]
                assert all(token["certainty"] == pytest.approx(0.905, abs=0.001) for token in hole["tokens"])
        methods = [message["method"] for message in wire.heard]
        assert methods.index("workspace/applyEdit") > max(at for at, name in enumerate(methods) if name == "dgls/draft")


@pytest.mark.parametrize(
    ("language", "text", "part"),
    [
        ("python", "def first(a): pass\n", "pass"),
        ("python", "def first(a):", ":"),
        ("python", "def first(a):\r\n    pass\r\n", "pass"),
        ("javascript", "f(() => {})\n", "{"),
    ],
)
async def test_draft_text_would_replace_its_range(language: str, text: str, part: str, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(experimental=PAINTING), texts=["return a"], step_ms=20) as (wire, _):
        wire.open(URI, text, language)
        arguments = {"uri": URI, "version": 1, "position": place(text, part)["end"]}
        assert await wire.request(EXECUTE, {"command": "dgls.fill", "arguments": [arguments]}) == {"applied": True}
        (applied,) = heard(wire, "workspace/applyEdit")
        (hole,) = heard(wire, "dgls/draft")[-2]["holes"]
        assert "".join(token["text"] for token in hole["tokens"]) == hole["text"]
        assert [token["certainty"] < 1 for token in hole["tokens"] if token["text"].strip()] == [True]
        painted = {"changes": {URI: [{"range": hole["range"], "newText": hole["text"]}]}}
        assert edited(text, painted) == edited(text, applied["edit"]) != text


async def test_drafts_of_a_listed_action_have_the_request_of_its_data(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(experimental=PAINTING), texts=["x = 0"]) as (wire, _):
        wire.open(URI, TEXT)
        action = await titled(wire, listing(URI, place(TEXT, X)), "Rewrite selection")
        assert "edit" in await wire.request(RESOLVE, action)
        assert {draft["request"] for draft in heard(wire, "dgls/draft")} == {action["data"]["request"]}


@pytest.mark.parametrize(
    "wish", [None, {"dgls": {"draft": False}}, {"dgls": {"draft": 1}}, {"draft": True}, "dgls", []]
)
async def test_drafts_for_other_clients_are_not_sent(wish: object, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(experimental=wish), texts=["x = 0"]) as (wire, _):
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, rewrite()) == {"applied": True}
        assert heard(wire, "dgls/draft") == []


class Clocked(Wire):
    """Notes the time of each draft."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.times: list[float] = []

    async def _take(self, message: Message) -> None:
        if message.get("method") == "dgls/draft":
            self.times.append(time.monotonic())
        await super()._take(message)


async def test_drafts_are_at_most_twenty_a_second(tmp_path: Path) -> None:
    """800 steps in about two seconds. Counts over all of it, because a busy machine may deliver drafts in bursts."""
    script: Message = {"texts": ["x = 0"], "steps": 800, "step_ms": 1}
    async with ready(tmp_path, capable(experimental=PAINTING), wire=Clocked, **script) as (wire, _):
        assert isinstance(wire, Clocked)
        wire.open(URI, TEXT)
        begun = time.monotonic()
        assert await wire.request(EXECUTE, rewrite()) == {"applied": True}
        assert 5 < len(wire.times) <= 20 * (time.monotonic() - begun) + 1


@pytest.mark.parametrize("end", ["cancelled", "superseded", "edited"])
async def test_drafts_end_with_a_last_one_however_the_action_ends(end: str, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(experimental=PAINTING), **SLOW) as (wire, _):
        wire.open(URI, TEXT)
        asked = wire.ask(EXECUTE, rewrite(request="first"))
        await wire.until(lambda: bool(heard(wire, "dgls/draft")))
        if end == "cancelled":
            wire.notify("$/cancelRequest", {"id": asked})
        elif end == "superseded":
            wire.ask(EXECUTE, rewrite(request="second"))
        else:
            wire.notify("textDocument/didChange", insertion(URI, 2, 0, 0, "# "))
        await wire.reply(asked)
        first = [draft for draft in heard(wire, "dgls/draft") if draft["request"] == "first"]
        assert [draft.get("done", False) for draft in first] == [False] * (len(first) - 1) + [True]


async def test_progress_appears_after_half_a_second(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"], steps=80, step_ms=10) as (wire, _):
        wire.open(URI, TEXT)
        begun = time.monotonic()
        asked = wire.ask(EXECUTE, rewrite())
        await wire.until(lambda: bool(bars(wire)))
        assert time.monotonic() - begun > 0.45
        await wire.reply(asked)
        ((token, begin), *_, (same, end)) = bars(wire)
        assert (begin["kind"], begin["title"], begin["cancellable"]) == ("begin", "dgls: rewrite", True)
        assert (same, end["kind"]) == (token, "end")
        assert {"token": token} in heard(wire, "window/workDoneProgress/create")
        methods = [message["method"] for message in wire.heard]
        assert methods.index("workspace/applyEdit") > max(at for at, name in enumerate(methods) if name == "$/progress")


async def test_progress_of_a_quick_action_is_not_shown(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"]) as (wire, _):
        wire.open(URI, TEXT)
        await wire.request(EXECUTE, rewrite())
        await asyncio.sleep(0.7)
        assert bars(wire) == []


async def test_progress_for_a_client_without_it_is_not_shown(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(window={}), texts=["x = 0"], steps=80, step_ms=10) as (wire, _):
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, rewrite()) == {"applied": True}
        assert heard(wire, "$/progress") == []


@pytest.mark.parametrize("own", [False, True])
async def test_cancel_on_the_progress_bar_cancels_the_action(own: bool, tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), **SLOW) as (wire, journal):
        wire.open(URI, TEXT)
        asked = wire.ask(EXECUTE, {**rewrite(), **({"workDoneToken": "own"} if own else {})})
        await wire.until(lambda: bool(bars(wire)))
        (token, _), *_ = bars(wire)
        assert (token == "own") == own
        await journal.wait("infill")
        wire.notify("window/workDoneProgress/cancel", {"token": token})
        await cancelled(wire, journal, asked)
        assert [value["kind"] for _, value in bars(wire)][-1] == "end"
        assert shown(wire) == []


async def test_progress_that_the_client_refuses_does_not_stop_the_action(tmp_path: Path) -> None:
    class Refusing(Wire):
        async def _take(self, message: Message) -> None:
            if message.get("method") == "window/workDoneProgress/create":
                self.send({"id": message["id"], "error": {"code": CANCELLED, "message": "no"}})
            else:
                await super()._take(message)

    async with ready(tmp_path, capable(), wire=Refusing, texts=["x = 0"], steps=80, step_ms=10) as (wire, _):
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, rewrite()) == {"applied": True}
        assert heard(wire, "$/progress") == []


LONG = TEXT + "".join(f"value_{n} = compute(value_{n - 1}, {n})\n" for n in range(1, 121))


def rewrite_long() -> Message:
    end = {"line": LONG.count("\n"), "character": 0}
    return {**rewrite(range={**place(LONG, "value_1 ="), "end": end}), "workDoneToken": "own"}


async def test_progress_of_a_long_selection_has_a_percentage(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"]) as (wire, journal):
        wire.open(URI, LONG)
        assert await wire.request(EXECUTE, rewrite_long()) == {"applied": True}
        reports = [value for _, value in bars(wire) if value["kind"] == "report"]
        percents = [report["percentage"] for report in reports]
        assert len(reports) == len(journal.entries("infill")) > 1
        assert percents == sorted(percents)
        assert percents[-1] > 50
        assert reports[1]["message"] == "passage 2"


async def test_cancel_between_the_canvases_of_a_long_selection_changes_nothing(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), texts=["x = 0"], steps=20, step_ms=10) as (wire, journal):
        wire.open(URI, LONG)
        asked = wire.ask(EXECUTE, rewrite_long())
        await journal.wait("infill", 2)
        wire.notify("window/workDoneProgress/cancel", {"token": "own"})
        await cancelled(wire, journal, asked)
        assert (len(journal.entries("infill")), len(journal.entries("done"))) == (2, 1)
