"""How the worker's engine is warmed, rests and comes back, on an engine that is a script and a clock that is set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Queue

import pytest

from dgls_engine.errors import Cancelled, ModelNotFound, NotEnoughMemory, ServerUnfit
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken
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
    """A worker whose engines are counted; its states are told in order."""

    def __init__(self, *engines: ScriptedEngine | Exception, info: ModelInfo = ON_GPU) -> None:
        self.clock, self.opened = Clock(), 0
        self.told: Queue[WorkerState] = Queue()
        self.before_opening: Callable[[], None] = lambda: None
        self.engines = list(engines) or [ScriptedEngine()]
        for engine in self.engines:
            if isinstance(engine, ScriptedEngine):
                engine.info = info
                engine.go.set()
        self.worker = Worker(self._open, lambda worker: self.told.put(worker.state), self.clock)

    def _open(self) -> EngineLike:
        engine = self.engines[min(self.opened, len(self.engines) - 1)]
        self.opened += 1
        self.before_opening()
        if isinstance(engine, Exception):
            raise engine
        return engine

    def expect(self, *states: WorkerState) -> None:
        assert [self.told.get(timeout=WAIT) for _ in states] == list(states)

    def ask(self, name: str = "a") -> None:
        assert self.worker.submit(request(name), CancelToken(), key=name).result(WAIT).texts == (name,)

    def pass_time(self, seconds: float, rest_after: float | None = QUARTER) -> None:
        """The worker looks at the clock when it is told how long to wait."""
        self.clock.now += seconds
        self.worker.rest_after(rest_after)


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


def rested(life: Life) -> Life:
    life.expect("ready")
    life.pass_time(QUARTER + 1)
    life.expect("resting")
    return life


def test_model_rests_when_it_was_not_asked_for_so_long_and_comes_back_for_the_next(closing: Closing) -> None:
    first, second = ScriptedEngine(), ScriptedEngine()
    life = closing(Life(first, second))
    life.expect("ready")
    life.pass_time(QUARTER - 1)
    life.ask("early")
    life.pass_time(QUARTER - 1)  # from the last request on
    life.ask("in time")
    assert life.opened == 1
    life.pass_time(QUARTER)
    life.expect("resting")
    assert first.closed_on == "dgls-engine"
    assert life.worker.info is ON_GPU
    assert life.worker.count("abc") == 3
    life.ask("late")
    life.expect("loading", "ready")
    assert (first.served, second.served) == (["early", "in time"], ["late"])


def test_time_is_looked_at_when_it_is_over() -> None:
    engine = ScriptedEngine()
    engine.info = ON_GPU
    told: Queue[WorkerState] = Queue()
    worker = Worker(lambda: engine, lambda worker: told.put(worker.state))
    worker.rest_after(0.01)
    assert [told.get(timeout=WAIT), told.get(timeout=WAIT)] == ["ready", "resting"]
    assert worker.close(WAIT)


@pytest.mark.parametrize("info", [replace(ON_GPU, device=device) for device in ("cpu", "https://gpu.example")])
def test_model_that_holds_no_gpu_stays(info: ModelInfo, closing: Closing) -> None:
    life = closing(Life(info=info))
    life.expect("ready")
    life.pass_time(100 * QUARTER)
    life.ask()
    assert life.opened == 1


def test_without_a_time_it_stays(closing: Closing) -> None:
    life = closing(Life())
    life.expect("ready")
    life.pass_time(100 * QUARTER, rest_after=None)
    life.ask()
    assert life.opened == 1


def test_request_that_comes_while_the_model_goes_to_rest_is_told_as_a_load(closing: Closing) -> None:
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
    life.expect("resting", "loading", "ready")


def test_newer_request_takes_the_place_of_the_one_that_woke_the_model(closing: Closing) -> None:
    loading, loaded = threading.Event(), threading.Event()

    def slowly() -> None:
        loading.set()
        assert loaded.wait(WAIT)

    life = rested(closing(Life()))
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


@pytest.mark.parametrize("known", [True, False], ids=["comes back", "first load"])
def test_too_little_memory_fails_who_waits_and_is_tried_again_when_asked(known: bool, closing: Closing) -> None:
    short = NotEnoughMemory("another program holds 20 GB of it")
    engines: list[ScriptedEngine | Exception] = (
        [ScriptedEngine(), short, ScriptedEngine()] if known else [short, ScriptedEngine()]
    )
    life = closing(Life(*engines))
    if known:
        rested(life)
        assert outcome(life.worker.submit(request("a"), CancelToken(), key="a")) is short
        life.expect("loading")
    life.expect("failed")
    assert outcome(life.worker.submit(request("b"), CancelToken(), key="b")) is short
    assert life.worker.error is short
    life.worker.again()
    life.expect("loading", "ready")
    assert life.worker.error is None
    life.ask("c")


def test_a_server_that_refused_is_asked_again_when_the_user_asks(closing: Closing) -> None:
    """The command that prints its key may have wanted a login."""
    life = closing(Life(ServerUnfit("the command that should print the key failed"), ScriptedEngine()))
    life.expect("failed")
    life.worker.again()
    life.expect("loading", "ready")
    life.ask("a")


def test_what_else_failed_is_not_tried_again(closing: Closing) -> None:
    life = closing(Life(ModelNotFound("no such model")))
    life.expect("failed")
    life.worker.again()
    assert isinstance(outcome(life.worker.submit(request("a"), CancelToken(), key="a")), ModelNotFound)
    assert life.opened == 1


def test_engine_that_cannot_be_closed_is_opened_again(closing: Closing) -> None:
    class Broken(ScriptedEngine):
        def close(self) -> None:
            raise RuntimeError("the device fell off the bus")

    life = rested(closing(Life(Broken(), ScriptedEngine())))
    life.ask()
    life.expect("loading", "ready")


class Warming(ScriptedEngine):
    """Each of its three parts waits for `part` and is noted among what was served."""

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


def test_warmed_while_nothing_waits_and_a_request_comes_between_two_parts(closing: Closing) -> None:
    engine = Warming()
    life = closing(Life(engine))
    assert engine.begun.wait(WAIT)
    life.expect("ready")
    asked = life.worker.submit(request("a"), CancelToken(), key="a")
    engine.part.set()
    assert asked.result(WAIT).texts == ("a",)
    assert engine.warmed.wait(WAIT)
    assert engine.served == ["part 0", "a", "part 1", "part 2"]


def test_warming_ends_with_the_worker() -> None:
    engine = Warming()
    life = Life(engine)
    assert engine.begun.wait(WAIT)
    assert not life.worker.close(timeout=0)
    engine.part.set()
    assert life.worker.close(WAIT)
    assert engine.served == ["part 0"]
    assert engine.closed_on == "dgls-engine"


@pytest.mark.parametrize("error", [NotEnoughMemory("full"), RuntimeError("a bug")])
def test_model_that_cannot_be_warmed_serves_cold(error: Exception, closing: Closing) -> None:
    engine = Warming(error)
    life = closing(Life(engine))
    engine.part.set()
    life.ask()
    life.pass_time(QUARTER)
    life.expect("ready", "resting")
