"""The one engine thread: opens the engine in the background and runs requests, one at a time.

Callers hand in an `InfillRequest` and get a `concurrent.futures.Future` at once, also while the model still loads.
The newest request of a key wins: an older one of the same key is dropped from the queue, or cancelled if it runs.
It knows neither LSP nor asyncio nor tensors. `submit`, `count` and `close` may be called from any thread; `on_state`
and `on_step` are called on the engine thread and must not block it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

from engine.errors import Cancelled, EngineClosed, EngineError
from engine.profile import ModelInfo
from engine.types import CancelToken, Infill, InfillRequest, Step

logger = logging.getLogger(__name__)

WorkerState = Literal["loading", "ready", "failed", "closed"]


class EngineLike(Protocol):
    """What a worker needs of an engine; `engine.Engine` is one."""

    @property
    def info(self) -> ModelInfo: ...

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]: ...

    def count(self, text: str) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Job:
    request: InfillRequest
    cancel: CancelToken
    key: Hashable
    on_step: Callable[[Step], None] | None
    future: Future[Infill]

    def fail(self, error: BaseException) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Worker:
    """Owns one engine and the thread that it lives on.

    `open_engine` runs on that thread, so a slow import or load blocks nobody; an error it raises fails every
    request made before and after. `on_state(worker)` is called after each change of `state`.
    """

    def __init__(
        self,
        open_engine: Callable[[], EngineLike],
        on_state: Callable[[Worker], None] | None = None,
    ) -> None:
        self._open_engine = open_engine
        self._on_state = on_state
        self._changed = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._running: _Job | None = None
        self._closing = False
        self._state: WorkerState = "loading"
        self._error: Exception | None = None
        self._info: ModelInfo | None = None
        self._engine: EngineLike | None = None
        self._thread = threading.Thread(target=self._run, name="dgls-engine", daemon=True)
        self._thread.start()

    @property
    def state(self) -> WorkerState:
        return self._state

    @property
    def error(self) -> Exception | None:
        """Why opening failed; None unless `state` is "failed"."""
        return self._error

    @property
    def info(self) -> ModelInfo | None:
        """The open model; None until `state` is "ready"."""
        return self._info

    def count(self, text: str) -> int:
        """Tokens of a text, as the open model counts them. From any thread, once `info` is known."""
        assert self._engine is not None, "no model is open"
        return self._engine.count(text)

    def submit(
        self,
        request: InfillRequest,
        cancel: CancelToken,
        key: Hashable,
        on_step: Callable[[Step], None] | None = None,
    ) -> Future[Infill]:
        """Queue a request; the future holds its `Infill`.

        The future raises `Cancelled` when `cancel` was set or a newer request of `key` came, `EngineClosed` when
        the worker was closed first, the error of opening when that failed, else what `infill` raised.
        """
        job = _Job(request, cancel, key, on_step, Future())
        with self._changed:
            refusal = EngineClosed("The engine was closed: start it again.") if self._closing else self._error
            older = [] if refusal else self._supersede(key)
            if not refusal:
                self._queue.append(job)
                self._changed.notify()
        # Futures call their listeners when they are settled: never under the lock.
        if refusal:
            job.fail(refusal)
        for dropped in older:
            dropped.fail(Cancelled("A newer request took this one's place."))
        return job.future

    def _supersede(self, key: Hashable) -> list[_Job]:
        """Take queued jobs of `key` out of the queue and cancel a running one; the lock is held."""
        older = [job for job in self._queue if job.key == key]
        self._queue = deque(job for job in self._queue if job.key != key)
        if self._running is not None and self._running.key == key:
            self._running.cancel.cancel()
        return older

    def close(self, timeout: float | None = 5.0) -> bool:
        """Cancel everything, close the engine on its own thread; False if the thread did not end in time (seconds).

        A thread deep in native code (an import, a load) can't be stopped; being a daemon it dies with the process.
        """
        with self._changed:
            self._closing = True
            dropped = list(self._queue)
            self._queue.clear()
            if self._running is not None:
                self._running.cancel.cancel()
            self._changed.notify_all()
        for job in dropped:
            job.fail(EngineClosed("The engine was closed before this request could run."))
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            engine = self._open_engine()
        except Exception as error:
            if not isinstance(error, EngineError):
                logger.exception("the engine could not be opened")
            self._fail(error)
            return
        self._engine, self._info = engine, engine.info
        self._enter("ready")
        try:
            while (job := self._next()) is not None:
                self._serve(engine, job)
        finally:
            engine.close()
            self._enter("closed")

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error = error
            waiting = list(self._queue)
            self._queue.clear()
        self._enter("failed")
        for job in waiting:
            job.fail(error)

    def _enter(self, state: WorkerState) -> None:
        self._state = state
        if self._on_state is not None:
            self._on_state(self)

    def _next(self) -> _Job | None:
        """Wait for a job and mark it running; None when the worker is closing."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            if self._closing:
                return None
            self._running = self._queue.popleft()
            return self._running

    def _serve(self, engine: EngineLike, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            with self._changed:
                self._running = None
            return
        outcome: Infill | Exception
        try:
            outcome = self._infill(engine, job)
        except Exception as error:
            outcome = error
        # No longer running once it is settled: whoever waits may at once submit another with the same cancel token.
        with self._changed:
            self._running = None
        if isinstance(outcome, Infill):
            job.future.set_result(outcome)
        else:
            job.future.set_exception(outcome)

    @staticmethod
    def _infill(engine: EngineLike, job: _Job) -> Infill:
        if job.cancel.cancelled:
            raise Cancelled("The request was cancelled before it ran.")
        for event in engine.infill(job.request, job.cancel):
            if isinstance(event, Infill):
                return event
            if job.on_step is not None:
                job.on_step(event)
        raise AssertionError("an engine ends its steps with an Infill")
