"""`dgls serve` with a model on a team server, from the editor's settings to the server's connections and back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import torch

from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.weights.loader import load
from tests.e2e.acting import RESOLVE, capable, edited, heard, listing, place, shown, titled
from tests.e2e.test_inline_completion import AUTOMATIC, INVOKED, METHOD, URI, texts
from tests.e2e.wire import PATIENCE, Message, Wire, completion, insertion, serving
from tests.remote.denoisers import Modelled, Scripted
from tests.remote.fake_vllm import FakeVllm

SERVER = [sys.executable, "-P", "-m", "dgls", "serve", "--stdio"]
LINE = "import os\n\nvalue = \n"
STUB = "def total(values):\n    pass\n\n\nx = 1\n"
CANVAS = 96
LONG = 60_000
"""A deadline in milliseconds that no suggestion here reaches. Tests of the deadline use a shorter one."""

AGES = 3 * PATIENCE
TRIES = 8
"""The server draws other noise each time, and a small model may make an unusable suggestion of it."""


@pytest.fixture
def script() -> Scripted:
    """Writes `name` into the first hole and nothing else."""
    tokenizer = Tokenizer(embedded_folder() / "tokenizer.json")
    return Scripted(tokenizer, [*tokenizer.encode("name"), *[tokenizer.pad_id] * CANVAS], tokenizer.size)


@pytest.fixture
def vllm(script: Scripted) -> Iterator[FakeVllm]:
    with FakeVllm(script, CANVAS) as server:
        yield server


def settings_for(vllm: FakeVllm, deadline_ms: int) -> Message:
    return {"engine": {"url": vllm.url}, "inlineCompletion": {"candidates": 1, "deadlineMs": deadline_ms}}


@asynccontextmanager
async def using(vllm: FakeVllm, state: str = "ready", deadline_ms: int = LONG) -> AsyncIterator[Wire]:
    """An initialized client of a server that uses `vllm`, once its status is `state`."""
    async with serving(SERVER) as server:
        server.wire.settings = settings_for(vllm, deadline_ms)
        await server.wire.initialize(capable(workspace={"configuration": True}))
        await server.wire.status(state)
        yield server.wire
        assert b"Traceback" not in server.stderr, server.stderr.decode()


def last(wire: Wire) -> Any:
    return heard(wire, "dgls/status")[-1]


async def until(holds: Callable[[], object]) -> None:
    """Polls, because the server's threads can not wake this loop."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.005)


async def device(wire: Wire, named: str, health: str = "") -> None:
    ready = {"state": "ready", "device": named, "health": health}
    await wire.until(lambda: {field: last(wire)[field] for field in ready} == ready)


async def test_completion_with_a_team_server_returns_an_item_and_its_status() -> None:
    torch.manual_seed(0)
    model = Modelled(load("embedded", "cpu"))
    with FakeVllm(model, CANVAS) as vllm:
        async with using(vllm) as wire:
            wire.open(URI, LINE)
            items: list[Any] = []
            for _ in range(TRIES):
                items = items or (await wire.request(METHOD, completion(URI, 2, 8, INVOKED)))["items"]
            assert items
            assert items[0]["range"]["start"] == items[0]["range"]["end"] == {"line": 2, "character": 8}
            assert model.steps > 0
            await device(wire, f"vLLM at 127.0.0.1:{vllm.port}")
            assert last(wire)["model"] == "embedded"
            assert last(wire)["memory"] is None
            assert shown(wire) == []


async def test_action_with_a_team_server_applies_its_fill(vllm: FakeVllm) -> None:
    async with using(vllm) as wire:
        wire.open(URI, STUB)
        action = await titled(wire, listing(URI, place(STUB, "pass")), "Fill here")
        resolved = await wire.request(RESOLVE, action)
        before, after = STUB.split("pass")
        assert edited(STUB, resolved["edit"]) == f"{before}name{after}"
        assert vllm.denoised
        await until(lambda: all(asked.answered for asked in vllm.denoised))


async def test_next_keystroke_closes_the_streams_of_the_older_suggestion(vllm: FakeVllm, script: Scripted) -> None:
    async with using(vllm) as wire:
        wire.open(URI, LINE)
        script.seconds = AGES
        older = wire.ask(METHOD, completion(URI, 2, 8, AUTOMATIC))
        await until(lambda: script.running)
        script.seconds = 0.0
        wire.notify("textDocument/didChange", insertion(URI, 2, 2, 8, "not "))
        newer = wire.ask(METHOD, completion(URI, 2, 12, AUTOMATIC))
        assert texts((await wire.reply(older))["result"]) == []
        assert texts((await wire.reply(newer))["result"]) == ["name"]
        await until(lambda: not script.running and vllm.denoised[-1].answered)
        assert script.stopped > 0
        assert vllm.denoised[0].aborted
        assert not vllm.denoised[0].answered
        assert shown(wire) == []


async def test_killed_team_server_shows_one_error_until_it_is_back(vllm: FakeVllm) -> None:
    there = f"vLLM at 127.0.0.1:{vllm.port}"
    async with using(vllm, deadline_ms=500) as wire:
        wire.open(URI, LINE)
        await device(wire, there)
        vllm.stop()
        assert texts(await wire.request(METHOD, completion(URI, 2, 8, AUTOMATIC))) == []
        await device(wire, there, "not answering")
        assert shown(wire) == [], "the request was automatic"
        assert texts(await wire.request(METHOD, completion(URI, 2, 8, INVOKED))) == []
        (said,) = shown(wire)
        assert said.startswith(f"dgls has no suggestion: the server at 127.0.0.1:{vllm.port} can't be reached (")
        assert said.endswith("; it gave nothing back within 500 ms")
        vllm.start()
        wire.settings = settings_for(vllm, LONG)
        wire.notify("workspace/didChangeConfiguration", {"settings": None})
        await wire.until(lambda: len(heard(wire, "workspace/configuration")) == 2)
        assert texts(await wire.request(METHOD, completion(URI, 2, 8, INVOKED))) == ["name"]
        await device(wire, there)
        assert shown(wire) == [said]


async def test_action_during_a_restart_of_the_team_server_succeeds(vllm: FakeVllm, script: Scripted) -> None:
    async with using(vllm) as wire:
        wire.open(URI, STUB)
        action = await titled(wire, listing(URI, place(STUB, "pass")), "Fill here")
        script.seconds = AGES
        asked = wire.ask(RESOLVE, action)
        await until(lambda: script.running)
        vllm.stop()
        script.seconds = 0.0
        vllm.start()
        assert "edit" in (await wire.reply(asked))["result"]
        assert shown(wire) == []


async def test_team_server_that_can_not_pin_is_refused_until_it_can(vllm: FakeVllm) -> None:
    vllm.pins, vllm.version = False, "0.31.2"
    async with using(vllm, "failed") as wire:
        said = last(wire)["message"]
        assert f"the server at 127.0.0.1:{vllm.port} (vLLM 0.31.2) can't pin" in said
        assert "needs vLLM 0.33 or later" in said
        await wire.until(lambda: shown(wire) != [])
        assert shown(wire) == [f"dgls has no model: {said}"]
        assert vllm.denoised == [], "it got no code"
        vllm.pins, vllm.version = True, "0.33.0"
        wire.open(URI, LINE)
        assert texts(await wire.request(METHOD, completion(URI, 2, 8, INVOKED))) == ["name"]
        await device(wire, f"vLLM at 127.0.0.1:{vllm.port}")
        assert len(shown(wire)) == 1
