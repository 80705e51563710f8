"""Settings over real pipes: their sources, bad values, and changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.e2e.forked import scripted
from tests.e2e.test_inline_completion import AUTOMATIC, INVOKED, METHOD, Journal, texts
from tests.e2e.wire import Message, Wire, completion

URI = "file:///a.py"
NO_CAPABILITIES: Message = {"capabilities": {}}


def shown(wire: Wire) -> list[str]:
    return [message["params"]["message"] for message in wire.heard if message["method"] == "window/showMessage"]


def models(wire: Wire) -> list[str]:
    return [message["params"]["model"] for message in wire.heard if message["method"] == "dgls/status"]


async def test_configuration_overrides_the_initialization_options() -> None:
    async with scripted({}) as server:
        server.wire.settings = {"model": "from configuration"}
        await server.wire.initialize({"initializationOptions": {"model": "from initialization"}})
        await server.wire.status("ready")
        assert models(server.wire)[-1] == "fake from configuration"


async def test_client_without_configuration_uses_the_initialization_options(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    async with scripted({"journal": str(journal.path)}) as server:
        await server.wire.initialize({**NO_CAPABILITIES, "initializationOptions": {"dgls": {"model": "m"}}})
        await server.wire.status("ready")
        assert [entry["model"] for entry in journal.entries("open")] == ["m"]


async def test_bad_values_are_named_in_one_message_and_replaced_by_defaults() -> None:
    async with scripted({}) as server:
        server.wire.settings = {"threads": "many", "inlineCompletion": {"maxLines": 0}}
        await server.wire.initialize({"initializationOptions": {"device": "tpu"}})
        await server.wire.status("ready")
        (message,) = shown(server.wire)
        for part in ("dgls.device takes", "dgls.threads takes a whole number", "dgls.inlineCompletion.maxLines takes"):
            assert part in message


async def test_same_bad_value_twice_shows_one_message() -> None:
    async with scripted({}) as server:
        wire = server.wire
        wire.settings = {"threads": "many"}
        await wire.initialize()
        await wire.status("ready")
        wire.notify("workspace/didChangeConfiguration", {"settings": None})
        await wire.until(lambda: len([m for m in wire.heard if m["method"] == "workspace/configuration"]) == 2)
        await wire.request("shutdown")
        assert len(shown(wire)) == 1


async def test_change_of_the_model_closes_the_old_engine_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    async with scripted({"journal": str(journal.path)}) as server:
        await server.wire.initialize()
        await server.wire.status("ready")
        server.wire.settings = {"model": "other"}
        server.wire.notify("workspace/didChangeConfiguration", {"settings": None})
        await server.wire.until(lambda: models(server.wire)[-1] == "fake other")
        order = [line.split('"event": ')[1][:7] for line in journal.path.read_text().splitlines()]
        assert order == ['"open",', '"closed', '"open",']


async def test_pushed_settings_of_a_client_without_configuration_count() -> None:
    async with scripted({}) as server:
        await server.wire.initialize(NO_CAPABILITIES)
        await server.wire.status("ready")
        server.wire.notify("workspace/didChangeConfiguration", {"settings": {"dgls": {"model": "pushed"}}})
        await server.wire.until(lambda: models(server.wire)[-1] == "fake pushed")


async def test_disabled_suggestions_load_no_model_until_invoked(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    async with scripted({"journal": str(journal.path), "texts": ["1"]}) as server:
        wire = server.wire
        wire.settings = {"inlineCompletion": {"enabled": False}}
        await wire.initialize()
        await wire.status("paused")
        wire.open(URI, "x = \n")
        assert await wire.request(METHOD, completion(URI, 0, 4, AUTOMATIC)) == {"items": []}
        assert journal.entries("open") == []
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["1"]
        await wire.status("paused")
        assert wire.statuses() == ["paused", "loading", "working", "paused"]


async def test_limits_in_the_settings_reach_the_engine(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    async with scripted({"journal": str(journal.path), "texts": ["1", "2", "3"]}) as server:
        wire = server.wire
        wire.settings = {"inlineCompletion": {"maxTokens": 7, "candidates": 2}}
        await wire.initialize()
        await wire.status("ready")
        wire.open(URI, "x = \n")
        assert texts(await wire.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["1", "2"]
        holes = [segment for entry in journal.entries("infill") for segment in entry["segments"] if "max" in segment]
        assert [hole["max"] for hole in holes] == [7, 7]


class Silent(Wire):
    """Answers the server's request for the settings only when `answer` is called."""

    asked: Any = None

    async def _take(self, message: Message) -> None:
        if message.get("method") == "workspace/configuration":
            self.asked = message["id"]
        else:
            await super()._take(message)

    def answer(self, settings: Message) -> None:
        self.send({"id": self.asked, "result": [settings]})


async def test_client_that_answers_late_still_sets_the_settings() -> None:
    async with scripted({}, wire=Silent) as server:
        wire = server.wire
        assert isinstance(wire, Silent)
        begun = asyncio.get_running_loop().time()
        await wire.initialize()
        await wire.status("ready")
        assert asyncio.get_running_loop().time() - begun > 1.0
        wire.answer({"model": "late"})
        await wire.until(lambda: models(wire)[-1] == "fake late")
