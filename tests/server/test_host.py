"""What the session's host does about a model that rests or runs out of memory, on the loop but without a client."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from dgls.server.session import Session
from dgls.server.settings import Settings
from dgls.server.status import Status
from dgls_engine.errors import NotEnoughMemory
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken, Context, Fill, Hole, Infill, InfillRequest, Loading, Step, Timings
from dgls_engine.worker import EngineLike

PROFILE = Profile("raw", "pad", 64, max_prompt_tokens=128, before_tokens=24, after_tokens=16)
ON_GPU = ModelInfo("m", 1, 2, "cuda:0", "a GPU", "bfloat16", 0.0, PROFILE)
REQUEST = InfillRequest(Context(), [Hole()])
FULL = NotEnoughMemory("a GPU ran out of memory; the model is shown half as much from now on")


class Engine:
    """Raises what `fails` holds, one error a request, before it fills anything."""

    info = ON_GPU

    def __init__(self, fails: list[Exception]) -> None:
        self._fails = fails

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        if self._fails:
            raise self._fails.pop()
        yield Infill((Fill("x", (), 1.0, 1.0),), 1, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)

    def warm(self) -> Iterator[None]:
        yield from ()

    def count(self, text: str) -> int:
        return len(text)

    def close(self) -> None: ...


class Opened:
    """A session whose engines fail as `opening` and `running` say; `told` are its statuses, `warned` its warnings."""

    def __init__(self) -> None:
        self.opening: list[Exception] = []
        self.running: list[Exception] = []
        self.times = 0
        self.may_load = threading.Event()
        self.may_load.set()
        self.told: list[Status] = []
        self.warned: list[str] = []
        self.session = Session(self._open)
        self.session.listeners.append(self.told.append)
        self.session.host.warners.append(self.warned.append)

    def _open(self, settings: Settings, on_loading: Loading) -> EngineLike:
        self.times += 1
        on_loading(1, 2)
        assert self.may_load.wait(5)
        if self.opening:
            raise self.opening.pop()
        on_loading(2, 2)
        return Engine(self.running)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.001)

    async def reach(self, state: str) -> Status:
        await self.until(lambda: bool(self.told) and self.told[-1].state == state)
        return self.told[-1]

    async def ask(self, asked: bool) -> Infill:
        return await self.session.host.infill(REQUEST, CancelToken(), "key", asked=asked)


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    there = Opened()
    there.session.open()
    try:
        await there.until(lambda: there.session.host.ready)  # it may rest by the time that is told
        yield there
    finally:
        assert there.session.close(5)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model rests as soon as nothing waits."""
    monkeypatch.setattr("dgls.server.host._idle_seconds", lambda settings: 0.001 * settings.idle_minutes or None)


async def test_model_at_rest_holds_no_memory_and_comes_back_for_a_suggestion(quickly: None) -> None:
    async with opened() as there:
        resting = await there.reach("resting")
        assert (resting.model, resting.device, resting.memory, resting.instructions) == ("m", "cuda:0", None, False)
        assert "loaded again" in resting.message
        assert there.session.host.ready, "a suggestion that nobody asked for wakes it"
        there.may_load.clear()
        answer = asyncio.create_task(there.ask(asked=False))
        await there.until(lambda: there.told[-1].percent == 50)
        assert not there.session.host.ready
        assert there.session.host.info is ON_GPU, "what is known of it stays known"
        there.may_load.set()
        assert (await answer).texts == ("x",)
        assert there.times == 2


async def test_setting_reaches_a_model_that_is_open(quickly: None) -> None:
    there = Opened()
    there.session.configure("initialization", {"idleMinutes": 0})
    there.session.open()
    await there.reach("ready")
    there.session.configure("configuration", {"idleMinutes": 1})
    await there.reach("resting")
    there.session.configure("configuration", {"idleMinutes": 0})
    await there.ask(asked=True)
    assert there.session.close(5)
    assert there.times == 2


async def test_model_that_was_replaced_is_let_go_of() -> None:
    """It would hold its tokenizer, and the one that it took the place of."""
    async with opened() as there:
        assert there.session.host.worker is not None
        first = weakref.ref(there.session.host.worker)
        there.session.configure("configuration", {"dtype": "int4"})
        await there.until(lambda: there.session.host.ready)
        gc.collect()
        assert first() is None


async def test_model_that_was_replaced_while_it_waited_for_its_turn_is_never_loaded() -> None:
    there = Opened()
    there.may_load.clear()
    there.session.open()
    await there.until(lambda: there.times == 1)
    for dtype in ("fp8", "int4"):
        there.session.configure("configuration", {"dtype": dtype})
    there.may_load.set()
    await there.until(lambda: there.session.host.ready)
    assert there.session.close(5)
    assert there.times == 2


async def test_user_hears_once_that_memory_ran_out(quickly: None) -> None:
    async with opened() as there:
        there.session.configure("initialization", {"idleMinutes": 0})
        there.running[:] = [FULL] * 2
        for _ in range(2):
            with pytest.raises(NotEnoughMemory):
                await there.ask(asked=False)
        assert there.warned == [str(FULL)]
        await there.ask(asked=False)
        assert (await there.reach("ready")).message == str(FULL), "the status goes on saying it"
        there.session.configure("configuration", {"idleMinutes": 1})
        await there.reach("resting")
        there.session.configure("configuration", {"idleMinutes": 0})
        await there.ask(asked=False)
        assert (await there.reach("ready")).message == "", "a model that is loaded anew begins anew"


async def test_who_asked_hears_it_anyway() -> None:
    async with opened() as there:
        there.running[:] = [FULL] * 2
        for asked in (True, False):
            with pytest.raises(NotEnoughMemory):
                await there.ask(asked)
        assert there.warned == []


async def test_gpu_that_another_program_took_is_told_and_tried_again_when_asked(quickly: None) -> None:
    async with opened() as there:
        await there.reach("resting")
        there.opening.append(NotEnoughMemory("20 GB are held by other processes"))
        with pytest.raises(NotEnoughMemory):
            await there.ask(asked=False)
        assert (await there.reach("failed")).message == (
            "20 GB are held by other processes. Ask for a suggestion to try again."
        )
        assert there.warned == [], "the failure is told by itself"
        assert not there.session.host.ready
        assert await there.session.host.model(CancelToken()) is ON_GPU
        assert (await there.ask(asked=True)).texts == ("x",)
        assert there.times == 3


async def test_first_load_that_found_too_little_memory_is_tried_again_when_asked() -> None:
    there = Opened()
    there.opening.append(NotEnoughMemory("full"))
    there.session.open()
    await there.reach("failed")
    assert await there.session.host.model(CancelToken()) is ON_GPU
    await there.reach("ready")
    assert there.session.close(5)
