"""The host unloads, reloads and replaces a model, and reports a lack of memory. No client is needed."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dgls.server.host import Host, Status
from dgls.server.lsp_server import open_engine
from dgls.server.session import Session
from dgls.server.settings import Settings
from dgls_engine.errors import BrokenCheckpoint, Cancelled, EngineLost, HolderSilent, NotEnoughMemory
from dgls_engine.loop.sampler import no_numbers
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken, Context, Fill, Hole, Infill, InfillRequest, Loading, Step, Timings
from dgls_engine.worker import EngineLike
from tests.engine.checkpoints import raw_checkpoint, without_numbers

PROFILE = Profile("raw", "pad", 64, max_prompt_tokens=128, before_tokens=24, after_tokens=16)
ON_GPU = ModelInfo("m", 1, 2, "cuda:0", "a GPU", "bfloat16", 0.0, PROFILE)
REQUEST = InfillRequest(Context(), [Hole()])
FULL = NotEnoughMemory("a GPU ran out of memory; the model is shown half as much from now on")


class Engine:
    """Raises the errors in `fails`, one a request, then fills."""

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
    """A session whose engines raise the errors in `opening` and `running`; keeps its statuses and warnings."""

    def __init__(self) -> None:
        self.opening: list[Exception] = []
        self.running: list[Exception] = []
        self.times = 0
        self.may_load = threading.Event()
        self.may_load.set()
        self.statuses: list[Status] = []
        self.warnings: list[str] = []
        self.session = Session(self._open)
        self.session.listeners.append(self.statuses.append)
        self.session.host.warners.append(self.warnings.append)

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
        await self.until(lambda: bool(self.statuses) and self.statuses[-1].state == state)
        return self.statuses[-1]

    async def ask(self, invoked: bool) -> Infill:
        return await self.session.host.infill(REQUEST, CancelToken(), "key", invoked=invoked)


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    there = Opened()
    there.session.open()
    try:
        await there.until(lambda: there.session.host.ready)  # it may be unloaded before the status is sent
        yield there
    finally:
        assert there.session.close(5)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is unloaded as soon as no request waits."""
    monkeypatch.setattr("dgls.server.host._idle_seconds", lambda settings: 0.001 * settings.idle_minutes or None)


async def test_infill_with_an_unloaded_model_loads_it_again(quickly: None) -> None:
    async with opened() as there:
        resting = await there.reach("resting")
        assert (resting.model, resting.device, resting.memory, resting.instructions) == ("m", "cuda:0", None, False)
        assert "loads it again" in resting.message
        assert there.session.host.ready, "an automatic suggestion loads it"
        there.may_load.clear()
        answer = asyncio.create_task(there.ask(invoked=False))
        await there.until(lambda: there.statuses[-1].percent == 50)
        assert not there.session.host.ready
        assert there.session.host.info is ON_GPU, "info stays while it is unloaded"
        there.may_load.set()
        assert (await answer).texts == ("x",)
        assert there.times == 2


async def test_configure_idle_minutes_with_an_open_model_takes_effect(quickly: None) -> None:
    there = Opened()
    there.session.configure("initialization", {"idleMinutes": 0})
    there.session.open()
    await there.reach("ready")
    there.session.configure("configuration", {"idleMinutes": 1})
    await there.reach("resting")
    there.session.configure("configuration", {"idleMinutes": 0})
    await there.ask(invoked=True)
    assert there.session.close(5)
    assert there.times == 2


async def test_configure_another_model_frees_the_old_worker() -> None:
    """It would keep its tokenizer and the worker before it in memory."""
    async with opened() as there:
        assert there.session.host.worker is not None
        first = weakref.ref(there.session.host.worker)
        there.session.configure("configuration", {"dtype": "int4"})
        await there.until(lambda: there.session.host.ready)
        gc.collect()
        assert first() is None


async def test_configure_twice_while_a_model_loads_skips_the_one_between() -> None:
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


async def test_infill_automatic_out_of_memory_warns_once(quickly: None) -> None:
    async with opened() as there:
        there.session.configure("initialization", {"idleMinutes": 0})
        there.running[:] = [FULL] * 2
        for _ in range(2):
            with pytest.raises(NotEnoughMemory):
                await there.ask(invoked=False)
        assert there.warnings == [str(FULL)]
        await there.ask(invoked=False)
        assert (await there.reach("ready")).message == str(FULL), "the status keeps saying it"
        there.session.configure("configuration", {"idleMinutes": 1})
        await there.reach("resting")
        there.session.configure("configuration", {"idleMinutes": 0})
        await there.ask(invoked=False)
        assert (await there.reach("ready")).message == "", "a new load clears the message"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (no_numbers(), "no numbers"),
        (
            RuntimeError("CUDA error: an illegal memory access\nCompile with"),
            "The model failed (CUDA error: an illegal ",
        ),
    ],
)
async def test_infill_automatic_failure_of_an_open_model_warns_once_and_keeps_it(error: Exception, said: str) -> None:
    async with opened() as there:
        there.running[:] = [error] * 2
        for _ in range(2):
            with pytest.raises(type(error)):
                await there.ask(invoked=False)
        (warning,) = there.warnings
        assert said in warning
        assert "\n" not in warning
        assert (await there.ask(invoked=False)).texts == ("x",), "it may fill other places"
        assert (await there.reach("ready")).message == warning
        assert there.times == 1


async def test_infill_with_a_silent_holder_warns_once_and_not_in_the_status() -> None:
    async with opened() as there:
        there.running[:] = [HolderSilent("process 7 does not answer")] * 2
        for _ in range(2):
            with pytest.raises(HolderSilent):
                await there.ask(invoked=False)
        assert there.warnings == ["process 7 does not answer"]
        assert there.session.host.status(working=False).message == "", "the status has `health` for it"


@pytest.mark.parametrize("invoked", [True, False])
async def test_infill_that_loses_its_holder_is_sent_again_if_the_user_asked(invoked: bool) -> None:
    async with opened() as there:
        there.running[:] = [EngineLost("process 7 ended")]
        if invoked:
            assert (await there.ask(invoked)).texts == ("x",)
        else:
            with pytest.raises(EngineLost):
                await there.ask(invoked)
        await there.until(lambda: there.times == 2 and there.session.host.ready)
        assert there.warnings == []


async def test_infill_cancelled_warns_of_nothing() -> None:
    async with opened() as there:
        there.running[:] = [Cancelled()]
        with pytest.raises(Cancelled):
            await there.ask(invoked=False)
        assert (there.warnings, there.session.host.status(working=False).message) == ([], "")


async def test_infill_invoked_out_of_memory_leaves_the_message_to_the_caller() -> None:
    async with opened() as there:
        there.running[:] = [FULL] * 2
        for invoked in (True, False):
            with pytest.raises(NotEnoughMemory):
                await there.ask(invoked)
        assert there.warnings == []


async def test_model_after_a_reload_without_memory_tries_again(quickly: None) -> None:
    async with opened() as there:
        await there.reach("resting")
        there.opening.append(NotEnoughMemory("20 GB are held by other processes"))
        with pytest.raises(NotEnoughMemory):
            await there.ask(invoked=False)
        assert (await there.reach("failed")).message == (
            "20 GB are held by other processes. Ask for a suggestion to try again."
        )
        assert there.warnings == [], "the status reports it"
        assert not there.session.host.ready
        assert await there.session.host.model(CancelToken()) is ON_GPU
        assert (await there.ask(invoked=True)).texts == ("x",)
        assert there.times == 3


async def test_model_after_a_first_load_without_memory_tries_again() -> None:
    there = Opened()
    there.opening.append(NotEnoughMemory("full"))
    there.session.open()
    await there.reach("failed")
    assert await there.session.host.model(CancelToken()) is ON_GPU
    await there.reach("ready")
    assert there.session.close(5)


async def test_host_model_that_cannot_fill_is_failed_with_the_reason(tmp_path: Path) -> None:
    folder = without_numbers(raw_checkpoint(tmp_path))
    host = Host(open_engine, lambda: None)
    host.configure(Settings(model=str(folder), device="cpu", threads=1))
    try:
        with pytest.raises(BrokenCheckpoint):
            await host.model(CancelToken())
        status = host.status(working=False)
        assert status.state == "failed"
        assert "no numbers (NaN), so its weights are damaged" in status.message
    finally:
        assert host.close(5)
