"""The worker's laws, on an engine that is a script: no torch, no model."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from dgls_engine.errors import Cancelled, EngineClosed, ModelNotFound
from dgls_engine.types import (
    CancelToken,
    Context,
    Fill,
    Hole,
    Infill,
    InfillRequest,
    Limits,
    Score,
    ScoreRequest,
    Step,
    Timings,
)
from dgls_engine.worker import EngineLike, Worker

WAIT = 5.0


def request(name: str) -> InfillRequest:
    return InfillRequest(Context(path=name), [Hole()], Limits())


def infill(text: str, steps: int) -> Infill:
    return Infill((Fill(text, (), 1.0, 1.0),), steps, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)


class ScriptedEngine:
    """Fills a hole with the request's path. Every step waits for `go`; `served` lists the requests begun."""

    info: Any = None

    def __init__(self) -> None:
        self.go = threading.Event()
        self.stepping = threading.Event()
        self.served: list[str] = []
        self.steps_after_cancel = 0
        self.closed_on = ""

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        self.served.append(request.context.path)
        if request.context.path == "broken":
            raise RuntimeError("a bug")
        for index in range(1, 4):
            self.stepping.set()
            while not self.go.wait(0.001):
                if cancel is not None and cancel.cancelled:
                    raise Cancelled("cancelled")
            yield Step(index, (), 0.0)
        yield infill(request.context.path, 3)

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> list[Score]:
        return [Score((request.before, text, request.after), (0.5, 0.25, 1.0)) for text in request.texts]

    def warm(self) -> Iterator[None]:
        yield from ()

    def count(self, text: str) -> int:
        return len(text)

    def close(self) -> None:
        self.closed_on = threading.current_thread().name


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def worker(engine: ScriptedEngine) -> Iterator[Worker]:
    worker = Worker(lambda _: engine)
    yield worker
    engine.go.set()
    assert worker.close(WAIT)


def outcome(future: Future[Infill]) -> BaseException | None:
    return future.exception(timeout=WAIT)


def test_submit_during_load_waits_for_model(
    engine: ScriptedEngine,
) -> None:
    loaded = threading.Event()

    def open_slowly(_: Worker) -> EngineLike:
        assert loaded.wait(WAIT)
        return engine

    worker = Worker(open_slowly)
    engine.go.set()
    future = worker.submit(request("a"), CancelToken(), key="a")
    assert worker.state == "loading"
    assert not future.done()
    loaded.set()
    assert future.result(WAIT).texts == ("a",)
    assert worker.close(WAIT)


def test_on_state_receives_states_in_order(engine: ScriptedEngine) -> None:
    states: list[str] = []
    worker = Worker(lambda _: engine, lambda worker: states.append(worker.state))
    engine.go.set()
    worker.submit(request("a"), CancelToken(), key="a").result(WAIT)
    assert worker.close(WAIT)
    assert states == ["ready", "closed"]


def test_open_that_raises_fails_earlier_and_later_requests() -> None:
    may_fail = threading.Event()

    def fail(_: Worker) -> EngineLike:
        assert may_fail.wait(WAIT)
        raise ModelNotFound("no such model: pull it")

    states: list[str] = []
    worker = Worker(fail, lambda worker: states.append(worker.state))
    earlier = worker.submit(request("a"), CancelToken(), key="a")
    may_fail.set()
    assert isinstance(outcome(earlier), ModelNotFound)
    later = worker.submit(request("b"), CancelToken(), key="b")
    assert isinstance(outcome(later), ModelNotFound)
    assert states == ["failed"]
    assert isinstance(worker.error, ModelNotFound)


def test_submit_same_key_drops_queued_request(worker: Worker, engine: ScriptedEngine) -> None:
    first = worker.submit(request("first"), CancelToken(), key="other")
    assert engine.stepping.wait(WAIT)
    older = worker.submit(request("older"), CancelToken(), key="doc")
    newer = worker.submit(request("newer"), CancelToken(), key="doc")
    assert isinstance(outcome(older), Cancelled)
    engine.go.set()
    assert newer.result(WAIT).texts == ("newer",)
    assert first.result(WAIT).texts == ("first",)
    assert engine.served == ["first", "newer"]


def test_submit_same_key_cancels_running_request(worker: Worker, engine: ScriptedEngine) -> None:
    older = worker.submit(request("older"), CancelToken(), key="doc")
    assert engine.stepping.wait(WAIT)
    newer = worker.submit(request("newer"), CancelToken(), key="doc")
    assert isinstance(outcome(older), Cancelled)
    engine.go.set()
    assert newer.result(WAIT).texts == ("newer",)


def test_submit_other_key_leaves_running_request_alone(worker: Worker, engine: ScriptedEngine) -> None:
    one = worker.submit(request("one"), CancelToken(), key="one")
    assert engine.stepping.wait(WAIT)
    two = worker.submit(request("two"), CancelToken(), key="two")
    engine.go.set()
    assert (one.result(WAIT).texts, two.result(WAIT).texts) == (("one",), ("two",))


def test_cancel_running_request_ends_it(worker: Worker, engine: ScriptedEngine) -> None:
    cancel = CancelToken()
    future = worker.submit(request("a"), cancel, key="a")
    assert engine.stepping.wait(WAIT)
    cancel.cancel()
    assert isinstance(outcome(future), Cancelled)


def test_cancel_queued_request_never_reaches_engine(worker: Worker, engine: ScriptedEngine) -> None:
    cancel = CancelToken()
    worker.submit(request("first"), CancelToken(), key="first")
    assert engine.stepping.wait(WAIT)
    by_token = worker.submit(request("by token"), cancel, key="a")
    by_future = worker.submit(request("by future"), CancelToken(), key="b")
    cancel.cancel()
    assert by_future.cancel()
    engine.go.set()
    assert isinstance(outcome(by_token), Cancelled)
    assert worker.submit(request("last"), CancelToken(), key="c").result(WAIT).texts == ("last",)
    assert engine.served == ["first", "last"]


def test_submit_from_done_callback_does_not_cancel_settled_request(worker: Worker, engine: ScriptedEngine) -> None:
    """Several candidates share a key and a cancel token. Each is submitted as soon as the one before has its result."""
    engine.go.set()
    cancel = CancelToken()
    done: list[Future[Infill]] = []

    all_there = threading.Event()

    def submit_next(_: object = None) -> None:
        if len(done) == 20:
            all_there.set()
            return
        done.append(worker.submit(request("a"), cancel, key="doc"))
        done[-1].add_done_callback(submit_next)

    submit_next()
    assert all_there.wait(WAIT)  # a result may be there before its callbacks were called
    assert [future.result(WAIT).texts for future in done] == [("a",)] * 20


def test_on_step_receives_steps(worker: Worker, engine: ScriptedEngine) -> None:
    steps: list[Step] = []
    engine.go.set()
    worker.submit(request("a"), CancelToken(), key="a", on_step=steps.append).result(WAIT)
    assert [step.index for step in steps] == [1, 2, 3]


def test_infill_that_raises_leaves_worker_running(worker: Worker, engine: ScriptedEngine) -> None:
    engine.go.set()
    assert isinstance(outcome(worker.submit(request("broken"), CancelToken(), key="a")), RuntimeError)
    assert worker.submit(request("fine"), CancelToken(), key="a").result(WAIT).texts == ("fine",)


def test_close_cancels_running_and_fails_queued_and_later_requests(
    engine: ScriptedEngine,
) -> None:
    worker = Worker(lambda _: engine)
    running = worker.submit(request("running"), CancelToken(), key="a")
    assert engine.stepping.wait(WAIT)
    queued = worker.submit(request("queued"), CancelToken(), key="b")
    assert worker.close(WAIT)
    late = worker.submit(request("late"), CancelToken(), key="c")
    assert isinstance(outcome(running), Cancelled)
    assert isinstance(outcome(queued), EngineClosed)
    assert isinstance(outcome(late), EngineClosed)
    assert engine.closed_on == "dgls-engine"


def test_close_during_load_returns_in_time_and_closes_engine_later(
    engine: ScriptedEngine,
) -> None:
    loading, loaded = threading.Event(), threading.Event()

    def open_slowly(_: Worker) -> EngineLike:
        loading.set()
        assert loaded.wait(WAIT)
        return engine

    worker = Worker(open_slowly)
    assert loading.wait(WAIT)
    assert not worker.close(timeout=0.05)
    assert not loaded.is_set(), "it did not wait for the load"
    loaded.set()
    assert worker.close(WAIT)
    assert engine.closed_on == "dgls-engine"


def settle_from_many_threads(worker: Worker, count: int) -> list[Future[Infill]]:
    futures: list[Future[Infill]] = []

    def submit_some(name: str) -> Callable[[], None]:
        return lambda: futures.extend(
            worker.submit(request(name), CancelToken(), key=name if turn % 2 else "shared") for turn in range(count)
        )

    threads = [threading.Thread(target=submit_some(f"thread {index}")) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    return futures


def test_submit_from_many_threads_settles_every_future(worker: Worker, engine: ScriptedEngine) -> None:
    engine.go.set()
    futures = settle_from_many_threads(worker, 50)
    outcomes = [outcome(future) for future in futures]
    assert len(outcomes) == 200
    assert all(error is None or isinstance(error, Cancelled) for error in outcomes)
    assert outcomes.count(None) >= 1


def test_import_worker_loads_no_torch() -> None:
    heavy = ("torch", "transformers", "numpy")
    code = f"import sys, dgls_engine.worker; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
