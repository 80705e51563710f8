"""Lack of memory over real pipes: the messages to the user, and that the server keeps working."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.acting import EXECUTE, capable, heard, shown
from tests.e2e.test_command import TEXT, rewrite
from tests.e2e.test_inline_completion import INVOKED, METHOD, URI, ready, texts
from tests.e2e.wire import Wire, completion

SAID = "a GPU ran out of memory. The prompt is shorter from now on"


def statuses(wire: Wire) -> list[Any]:
    return [(status["state"], status["message"]) for status in heard(wire, "dgls/status")]


async def test_automatic_suggestions_out_of_memory_warn_once(tmp_path: Path) -> None:
    async with ready(tmp_path, exhausted=2, texts=["1"]) as (wire, journal):
        wire.open(URI, "x = \n")
        for _ in range(2):
            assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == []
        assert texts(await wire.request(METHOD, completion(URI, 0, 4))) == ["1"]
        assert len(journal.entries("infill")) == 3
        assert [message["message"] for message in heard(wire, "window/showMessage")] == [f"dgls: {SAID}"]
        await wire.until(lambda: statuses(wire)[-1] == ("ready", SAID))
        assert journal.entries("closed") == [], "the model stays"


async def test_invoked_suggestion_out_of_memory_shows_one_error(tmp_path: Path) -> None:
    async with ready(tmp_path, exhausted=2, texts=["1"]) as (wire, _):
        wire.open(URI, "x = \n")
        for kind in (INVOKED, 2):
            assert texts(await wire.request(METHOD, completion(URI, 0, 4, kind))) == []
        assert [message["message"] for message in heard(wire, "window/showMessage")] == [
            f"dgls has no suggestion: {SAID}"
        ]


async def test_action_out_of_memory_shows_one_line(tmp_path: Path) -> None:
    async with ready(tmp_path, capable(), exhausted=1, texts=["x = 0"]) as (wire, _):
        wire.open(URI, TEXT)
        assert await wire.request(EXECUTE, rewrite()) == {"applied": False}
        assert shown(wire) == [f"dgls changed nothing: {SAID}"]
        assert await wire.request(EXECUTE, rewrite()) == {"applied": True}
        assert len(shown(wire)) == 1
