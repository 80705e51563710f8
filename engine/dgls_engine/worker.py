"""The engine thread: it opens the engine in the background and runs requests, one at a time.

A caller submits an `InfillRequest` and gets a `concurrent.futures.Future` at once, even while the model loads. A newer
request with the same caller and key replaces the older one: the worker drops it from the queue, or cancels it if it
runs. Callers take turns (`turns`). While the queue is empty, the worker warms the engine. After a long time without
requests it closes the engine; the next request opens it again.

    loading -> ready -> unloaded -> loading -> ...        every state can change to closed
       |         `-> loading (`drop`)
       `-> failed -> loading (`retry`)

In the state "unloaded" the engine is closed, and the next request opens it again. An engine that is lost, because it
runs in a process that ended, is replaced, and the request that it ran is run once more. The worker knows neither LSP
nor asyncio nor tensors. Any thread may call its methods. It calls `on_state` and `on_step` on the engine thread: they
must not block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Literal, Protocol

from dgls_engine.errors import MAY_PASS, Cancelled, EngineClosed, EngineError, EngineLost
from dgls_engine.profile import ModelInfo
from dgls_engine.turns import Job, Turns
from dgls_engine.types import CancelToken, Infill, InfillRequest, Score, ScoreRequest, Step

logger = logging.getLogger(__name__)

WorkerState = Literal["loading", "ready", "unloaded", "failed", "closed"]


class EngineLike(Protocol):
    """The members of an engine that a worker uses, such as `engine.Engine`. `info` and `count` also work once it is
    closed."""

    @property
    def info(self) -> ModelInfo: ...

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]: ...

    def warm(self) -> Iterator[None]:
        """Prepare the engine for usual requests. Each `next` runs one part; requests run between two parts."""

    def count(self, text: str) -> int: ...

    def close(self) -> None: ...

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> Sequence[Score]: ...


class Worker:
    """Owns one engine and its thread.

    `open_engine(worker)` runs on that thread, so a slow import or load blocks no caller. If it raises an error, all
    requests fail with that error until `retry`. `on_state(worker)` is called after each change of `state`. `clock`
    gives seconds.
    """

    def __init__(
        self,
        open_engine: Callable[[Worker], EngineLike],
        on_state: Callable[[Worker], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_engine = open_engine
        self._on_state = on_state
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: Turns = Turns()
        self._running: Job | None = None
        self._closing = False
        self._state: WorkerState = "loading"
        self._error: Exception | None = None
        self._engine: EngineLike | None = None
        self._dropped: EngineLike | None = None
        self._reopens = False
        self._unload_after: float | None = None
        self._used = 0.0
        self._thread = threading.Thread(target=self._run, name="dgls-engine", daemon=True)
        self._thread.start()

    @property
    def state(self) -> WorkerState:
        return self._state

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    @property
    def error(self) -> Exception | None:
        """Why opening failed; None unless `state` is "failed"."""
        return self._error

    @property
    def info(self) -> ModelInfo | None:
        """The open or last opened model; None before the first model is open."""
        return self._engine.info if self._engine is not None else None

    def count(self, text: str) -> int:
        """The number of tokens in `text`. Any thread may call it once `info` is known."""
        assert self._engine is not None, "no model has been open yet"
        return self._engine.count(text)

    def unload_after(self, seconds: float | None) -> None:
        """Close a model on a GPU after `seconds` without a request. None, the default: never."""
        with self._changed:
            self._unload_after = seconds
            self._changed.notify()

    def retry(self) -> None:
        """Try again to open a model, if the user may have fixed the reason for which it failed (`MAY_PASS`)."""
        with self._changed:
            if self._state == "failed" and isinstance(self._error, MAY_PASS):
                self._state, self._error = "loading", None
                self._changed.notify()

    def drop(self, engine: EngineLike, reopen: bool) -> None:
        """Close `engine` when its request has ended, because it is lost. `reopen`: open another at once, otherwise with
        the next request."""
        with self._changed:
            self._dropped, self._reopens = engine, reopen
            self._changed.notify()

    def submit(
        self,
        request: InfillRequest,
        cancel: CancelToken,
        key: Hashable,
        on_step: Callable[[Step], None] | None = None,
        *,
        caller: Hashable = None,
        again: bool = True,
    ) -> Future[Infill]:
        """Queue a request. The future returns its `Infill`.

        The future raises `Cancelled` if `cancel` was set or a newer request with the same `caller` and `key` came,
        `EngineClosed` if the worker was closed first, the error of `open_engine` if it failed, and otherwise any error
        of `infill`. `again`: run it a second time if the engine is lost during the first.
        """
        job = Job(request, cancel, key, on_step, Future(), caller, tries=2 if again else 1)
        self._queued(job)
        return job.future

    def score(
        self, request: ScoreRequest, cancel: CancelToken, key: Hashable, *, caller: Hashable = None
    ) -> Future[Sequence[Score]]:
        """As `submit`, for texts to score."""
        job = Job(request, cancel, key, None, Future(), caller)
        self._queued(job)
        return job.future

    def _queued(self, job: Job) -> None:
        with self._changed:
            error = EngineClosed("The engine was closed: start it again.") if self._closing else self._error
            older = [] if error else self._supersede(job.caller, job.key)
            if not error:
                self._queue.add(job)
                self._changed.notify()
        # A future calls its listeners when it gets a result, so settle it outside the lock.
        if error:
            job.fail(error)
        for dropped in older:
            dropped.fail(Cancelled("A newer request replaced this one."))

    def _supersede(self, caller: Hashable, key: Hashable) -> list[Job]:
        """Remove the jobs with this `key` from the queue, return them, and cancel a running one. Needs the lock."""
        running = self._running
        if running is not None and (running.caller, running.key) == (caller, key):
            running.cancel.cancel()
        return self._queue.drop(caller, key)

    def leave(self, caller: Hashable) -> None:
        """Cancel the requests of a caller that is gone."""
        with self._changed:
            dropped = self._queue.leave(caller)
            if self._running is not None and self._running.caller == caller:
                self._running.cancel.cancel()
        for job in dropped:
            job.fail(Cancelled("The window that sent this request is gone."))

    def close(self, timeout: float | None = 5.0) -> bool:
        """Cancel all requests and close the engine on its own thread. False if the thread runs on after `timeout`
        seconds.

        A thread inside an import or a load cannot be stopped. It is a daemon, so it ends with the process.
        """
        with self._changed:
            self._closing = True
            dropped = self._queue.clear()
            if self._running is not None:
                self._running.cancel.cancel()
            self._changed.notify_all()
        for job in dropped:
            job.fail(EngineClosed("The engine was closed before this request could run."))
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while self._wanted():
            try:
                engine = self._open_engine(self)
            except Exception as error:
                if not isinstance(error, EngineError):
                    logger.exception("the engine could not be opened")
                self._fail(error)
                continue
            self._engine = engine
            self._enter("ready")
            try:
                self._work(engine)
            finally:
                _close(engine)
            if not self._closing:
                self._enter("loading" if self._dropped is engine and self._reopens else "unloaded")
            self._dropped = None
        self._enter("closed")

    def _wanted(self) -> bool:
        """Wait until an engine has to be opened; at first that is at once. False if the worker is closing."""
        with self._changed:
            before = self._state
            while not self._closing and self._state != "loading" and not self._queue:
                self._changed.wait()
            if self._closing:
                return False
        if before != "loading":
            self._enter("loading")
        return True

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error = error
            waiting = self._queue.clear()
        self._enter("failed")
        for job in waiting:
            job.fail(error)

    def _enter(self, state: WorkerState) -> None:
        self._state = state
        if self._on_state is not None:
            self._on_state(self)

    def _work(self, engine: EngineLike) -> None:
        """Run requests and warm the engine between them, until it has been idle for too long or the worker closes."""
        warming: Iterator[None] | None = engine.warm()
        self._used = self._clock()
        while self._stays(engine, warming is not None):
            if (job := self._take()) is not None:
                self._serve(engine, job)
            elif warming is not None:
                warming = _warmed(warming)
            self._used = self._clock()

    def _stays(self, engine: EngineLike, warming: bool) -> bool:
        """Wait until there is a request or a part to warm. False if the engine has to be closed."""
        with self._changed:
            while not (self._closing or self._queue or warming or self._dropped is engine):
                seconds = self._seconds_to_unload(engine)
                if seconds is not None and seconds <= 0:
                    return False
                self._changed.wait(seconds)
            return not self._closing and self._dropped is not engine

    def _seconds_to_unload(self, engine: EngineLike) -> float | None:
        """Seconds until an idle model is closed; None: never."""
        if self._unload_after is None or not engine.info.on_gpu:
            return None
        return self._used + self._unload_after - self._clock()

    def _take(self) -> Job | None:
        """Take the next job from the queue and mark it as running."""
        with self._changed:
            self._running = self._queue.take()
            return self._running

    def _serve(self, engine: EngineLike, job: Job) -> None:
        outcome: Infill | Sequence[Score] | Exception | None = None
        if job.start():
            try:
                outcome = self._answer(engine, job)
            except Exception as error:
                outcome = error
        # Reset `_running` before the future gets its result: a waiting caller may submit the next job at once.
        with self._changed:
            self._running = None
            if isinstance(outcome, EngineLost):
                if self._dropped is not engine:
                    self._dropped, self._reopens = engine, True
                self._reopens = self._reopens or job.tries > 1
                if job.cancel.cancelled:
                    outcome = Cancelled("The request was cancelled when its engine was lost.")
                elif job.tries > 1 and not self._closing:
                    self._queue.put_back(replace(job, tries=job.tries - 1))
                    outcome = None
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        elif outcome is not None:
            job.future.set_result(outcome)
        outcome = None  # an error's traceback keeps this frame, which would keep the error and the engine's tensors

    @staticmethod
    def _answer(engine: EngineLike, job: Job) -> Infill | Sequence[Score]:
        if job.cancel.cancelled:
            raise Cancelled("The request was cancelled before it ran.")
        if isinstance(job.request, ScoreRequest):
            return engine.scores(job.request, job.cancel)
        for event in engine.infill(job.request, job.cancel):
            if isinstance(event, Infill):
                return event
            if job.on_step is not None:
                job.on_step(event)
        raise AssertionError("an engine's last event must be an Infill")


def _warmed(warming: Iterator[None]) -> Iterator[None] | None:
    """Run one part of `warming`; None when it is done. A failure is only logged: a cold engine is slow, but works."""
    try:
        next(warming)
    except StopIteration:
        return None
    except Exception as error:
        logger.warning("The model could not be warmed: %s", error, exc_info=not isinstance(error, EngineError))
        return None
    return warming


def _close(engine: EngineLike) -> None:
    """Close `engine` and log any error: an error must not end the thread, or requests would wait for ever."""
    try:
        engine.close()
    except Exception:
        logger.exception("the engine could not be closed")
