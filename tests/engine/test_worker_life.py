"""The worker warms, unloads and reloads its engine: a scripted engine, and a clock that the test sets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Queue

import pytest

from dgls_engine.errors import (
    BrokenCheckpoint,
    Cancelled,
    EngineError,
    EngineLost,
    ModelNotFound,
    NotEnoughMemory,
    ServerUnfit,
)
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken, Infill, InfillRequest, Step
from dgls_engine.worker import EngineLike, Worker, WorkerState
from tests.engine.test_worker import WAIT, ScriptedEngine, outcome, request

PROFILE = Profile("raw", "pad", 64, max_prompt_tokens=128, before_tokens=24, after_tokens=16)
ON_GPU = ModelInfo("m", 1, 2, "cuda:0", "a GPU", "bfloat16", 0.0, PROFILE)
QUARTER = 900.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Life:
    """A worker that counts its engines. `states` receives its states in order."""

    def __init__(self, *engines: ScriptedEngine | Exception, info: ModelInfo = ON_GPU) -> None:
        self.clock, self.opened = Clock(), 0
        self.states: Queue[WorkerState] = Queue()
        self.before_opening: Callable[[], None] = lambda: None
        self.engines = list(engines) or [ScriptedEngine()]
        for engine in self.engines:
            if isinstance(engine, ScriptedEngine):
                engine.info = info
                engine.go.set()
        self.worker = Worker(self._open, lambda worker: self.states.put(worker.state), self.clock)

    def _open(self, worker: Worker) -> EngineLike:
        engine = self.engines[min(self.opened, len(self.engines) - 1)]
        self.opened += 1
        self.before_opening()
        if isinstance(engine, Exception):
            raise engine
        return engine

    def expect(self, *expected: WorkerState) -> None:
        assert [self.states.get(timeout=WAIT) for _ in expected] == list(expected)

    def ask(self, name: str = "a") -> None:
        assert self.worker.submit(request(name), CancelToken(), key=name).result(WAIT).texts == (name,)

    def pass_time(self, seconds: float, unload_after: float | None = QUARTER) -> None:
        """`unload_after` wakes the worker, which then reads the clock."""
        self.clock.now += seconds
        self.worker.unload_after(unload_after)


@pytest.fixture
def closing() -> Iterator[Callable[[Life], Life]]:
    lives: list[Life] = []

    def keep(life: Life) -> Life:
        lives.append(life)
        return life

    yield keep
    for life in lives:
        assert life.worker.close(WAIT)


Closing = Callable[[Life], Life]


def unloaded(life: Life) -> Life:
    life.expect("ready")
    life.pass_time(QUARTER + 1)
    life.expect("unloaded")
    return life


def test_worker_idle_for_the_set_time_unloads_and_reloads_for_the_next_request(closing: Closing) -> None:
    first, second = ScriptedEngine(), ScriptedEngine()
    life = closing(Life(first, second))
    life.expect("ready")
    life.pass_time(QUARTER - 1)
    life.ask("early")
    life.pass_time(QUARTER - 1)  # from the last request on
    life.ask("in time")
    assert life.opened == 1
    life.pass_time(QUARTER)
    life.expect("unloaded")
    assert first.closed_on == "dgls-engine"
    assert life.worker.info is ON_GPU
    assert life.worker.count("abc") == 3
    life.ask("late")
    life.expect("loading", "ready")
    assert (first.served, second.served) == (["early", "in time"], ["late"])


def test_worker_idle_on_a_real_clock_unloads() -> None:
    engine = ScriptedEngine()
    engine.info = ON_GPU
    states: Queue[WorkerState] = Queue()
    worker = Worker(lambda _: engine, lambda worker: states.put(worker.state))
    worker.unload_after(0.01)
    assert [states.get(timeout=WAIT), states.get(timeout=WAIT)] == ["ready", "unloaded"]
    assert worker.close(WAIT)


@pytest.mark.parametrize("info", [replace(ON_GPU, device=device) for device in ("cpu", "https://gpu.example")])
def test_worker_idle_model_off_gpu_stays_loaded(info: ModelInfo, closing: Closing) -> None:
    life = closing(Life(info=info))
    life.expect("ready")
    life.pass_time(100 * QUARTER)
    life.ask()
    assert life.opened == 1


def test_worker_idle_without_a_set_time_stays_loaded(closing: Closing) -> None:
    life = closing(Life())
    life.expect("ready")
    life.pass_time(100 * QUARTER, unload_after=None)
    life.ask()
    assert life.opened == 1


def test_submit_during_unload_reports_loading(closing: Closing) -> None:
    leaving, left = threading.Event(), threading.Event()

    class Slow(ScriptedEngine):
        def close(self) -> None:
            leaving.set()
            assert left.wait(WAIT)

    life = closing(Life(Slow(), ScriptedEngine()))
    life.expect("ready")
    life.pass_time(QUARTER)
    assert leaving.wait(WAIT)
    asked = life.worker.submit(request("a"), CancelToken(), key="a")
    left.set()
    assert asked.result(WAIT).texts == ("a",)
    life.expect("unloaded", "loading", "ready")


def test_submit_same_key_during_reload_cancels_older_request(closing: Closing) -> None:
    loading, loaded = threading.Event(), threading.Event()

    def slowly() -> None:
        loading.set()
        assert loaded.wait(WAIT)

    life = unloaded(closing(Life()))
    life.before_opening = slowly
    older = life.worker.submit(request("older"), CancelToken(), key="doc")
    assert loading.wait(WAIT)
    newer = life.worker.submit(request("newer"), CancelToken(), key="doc")
    assert isinstance(outcome(older), Cancelled)
    unwanted = CancelToken()
    other = life.worker.submit(request("other"), unwanted, key="other")
    unwanted.cancel()
    loaded.set()
    assert newer.result(WAIT).texts == ("newer",)
    assert isinstance(outcome(other), Cancelled)


@pytest.mark.parametrize("known", [True, False], ids=["reload", "first load"])
def test_load_out_of_memory_fails_waiting_requests_until_retry(known: bool, closing: Closing) -> None:
    short = NotEnoughMemory("another program holds 20 GB of it")
    engines: list[ScriptedEngine | Exception] = (
        [ScriptedEngine(), short, ScriptedEngine()] if known else [short, ScriptedEngine()]
    )
    life = closing(Life(*engines))
    if known:
        unloaded(life)
        assert outcome(life.worker.submit(request("a"), CancelToken(), key="a")) is short
        life.expect("loading")
    life.expect("failed")
    assert outcome(life.worker.submit(request("b"), CancelToken(), key="b")) is short
    assert life.worker.error is short
    life.worker.retry()
    life.expect("loading", "ready")
    assert life.worker.error is None
    life.ask("c")


@pytest.mark.parametrize(
    "error",
    [ServerUnfit("the command that should print the key failed"), BrokenCheckpoint("`dgls models pull x` repairs it")],
    ids=["a server that rejects", "a damaged model"],
)
def test_retry_after_failure_that_the_user_can_fix_opens_engine(closing: Closing, error: EngineError) -> None:
    life = closing(Life(error, ScriptedEngine()))
    life.expect("failed")
    life.worker.retry()
    life.expect("loading", "ready")
    life.ask("a")


def test_retry_after_other_failure_does_not_reopen(closing: Closing) -> None:
    life = closing(Life(ModelNotFound("no such model")))
    life.expect("failed")
    life.worker.retry()
    assert isinstance(outcome(life.worker.submit(request("a"), CancelToken(), key="a")), ModelNotFound)
    assert life.opened == 1


def test_close_that_raises_does_not_stop_reload(closing: Closing) -> None:
    class Broken(ScriptedEngine):
        def close(self) -> None:
            raise RuntimeError("the device fell off the bus")

    life = unloaded(closing(Life(Broken(), ScriptedEngine())))
    life.ask()
    life.expect("loading", "ready")


class Warming(ScriptedEngine):
    """Warms in three parts. Each waits for `part` and then joins `served`."""

    def __init__(self, fails: Exception | None = None) -> None:
        super().__init__()
        self.begun, self.part, self.warmed = threading.Event(), threading.Event(), threading.Event()
        self._fails = fails

    def warm(self) -> Iterator[None]:
        for number in range(3):
            self.begun.set()
            assert self.part.wait(WAIT)
            if self._fails is not None:
                raise self._fails
            self.served.append(f"part {number}")
            yield
        self.warmed.set()


def test_request_while_warming_runs_between_two_parts(closing: Closing) -> None:
    engine = Warming()
    life = closing(Life(engine))
    assert engine.begun.wait(WAIT)
    life.expect("ready")
    asked = life.worker.submit(request("a"), CancelToken(), key="a")
    engine.part.set()
    assert asked.result(WAIT).texts == ("a",)
    assert engine.warmed.wait(WAIT)
    assert engine.served == ["part 0", "a", "part 1", "part 2"]


def test_close_while_warming_ends_after_current_part() -> None:
    engine = Warming()
    life = Life(engine)
    assert engine.begun.wait(WAIT)
    assert not life.worker.close(timeout=0)
    engine.part.set()
    assert life.worker.close(WAIT)
    assert engine.served == ["part 0"]
    assert engine.closed_on == "dgls-engine"


@pytest.mark.parametrize("error", [NotEnoughMemory("full"), RuntimeError("a bug")])
def test_warm_that_raises_still_serves_requests(error: Exception, closing: Closing) -> None:
    engine = Warming(error)
    life = closing(Life(engine))
    engine.part.set()
    life.ask()
    life.pass_time(QUARTER)
    life.expect("ready", "unloaded")


class Losing(ScriptedEngine):
    """Is lost at each request, after a step."""

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        self.served.append(request.context.path)
        yield Step(1, (), 0.0)
        if cancel is not None and request.context.path == "cancelled":
            cancel.cancel()
        raise EngineLost("its process ended")


def test_infill_lost_engine_runs_again_before_other_requests(closing: Closing) -> None:
    losing, second = Losing(), ScriptedEngine()
    life = closing(Life(losing, second))
    futures = [life.worker.submit(request(name), CancelToken(), key=name) for name in "ab"]
    assert [future.result(WAIT).texts for future in futures] == [("a",), ("b",)]
    assert (losing.served, second.served) == (["a"], ["a", "b"])
    life.expect("ready", "loading", "ready")


def test_infill_engine_lost_twice_raises(closing: Closing) -> None:
    life = closing(Life(Losing(), Losing(), ScriptedEngine()))
    assert isinstance(outcome(life.worker.submit(request("a"), CancelToken(), key="a")), EngineLost)
    life.ask("b")
    assert life.opened == 3


def test_infill_engine_lost_that_is_not_to_run_again_raises_and_reopens(closing: Closing) -> None:
    life = closing(Life(Losing(), ScriptedEngine()))
    future = life.worker.submit(request("a"), CancelToken(), key="a", again=False)
    assert isinstance(outcome(future), EngineLost)
    life.expect("ready", "loading", "ready")


def test_infill_engine_lost_after_a_cancel_is_cancelled(closing: Closing) -> None:
    second = ScriptedEngine()
    life = closing(Life(Losing(), second))
    assert isinstance(outcome(life.worker.submit(request("cancelled"), CancelToken(), key="a")), Cancelled)
    life.ask("b")
    assert second.served == ["b"]


@pytest.mark.parametrize("reopen", [True, False])
def test_drop_idle_engine_opens_another_at_once_or_with_the_next_request(reopen: bool, closing: Closing) -> None:
    first = ScriptedEngine()
    life = closing(Life(first, ScriptedEngine()))
    life.expect("ready")
    life.worker.drop(first, reopen)
    life.expect(*(("loading", "ready") if reopen else ("unloaded",)))
    assert first.closed_on == "dgls-engine"
    life.worker.drop(first, reopen)  # an engine that is no longer open
    life.ask()
    assert life.opened == 2


def test_leave_cancels_the_requests_of_the_caller_alone(closing: Closing) -> None:
    engine = ScriptedEngine()
    life = closing(Life(engine))
    engine.go.clear()
    futures = [
        life.worker.submit(request(caller + key), CancelToken(), key, caller=caller) for key in "12" for caller in "ab"
    ]
    assert engine.stepping.wait(WAIT)
    life.worker.leave("a")
    assert isinstance(outcome(futures[0]), Cancelled), "it ran"
    assert isinstance(outcome(futures[2]), Cancelled)
    engine.go.set()
    assert [futures[index].result(WAIT).texts for index in (1, 3)] == [("b1",), ("b2",)]


def test_submit_callers_take_turns_and_keep_their_own_keys(closing: Closing) -> None:
    engine = ScriptedEngine()
    life = closing(Life(engine))
    engine.go.clear()
    asked = [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("b", "2"), ("c", "1")]
    futures = [life.worker.submit(request("".join(each)), CancelToken(), each[1], caller=each[0]) for each in asked]
    assert engine.stepping.wait(WAIT)
    engine.go.set()
    for future in futures:
        future.result(WAIT)
    assert engine.served == ["a1", "b1", "c1", "a2", "b2", "a3"]
