"""The one engine thread: opens the engine in the background and runs requests, one at a time.

Callers hand in an `InfillRequest` and get a `concurrent.futures.Future` at once, also while the model still loads.
The newest request of a key wins: an older one of the same key is dropped from the queue, or cancelled if it runs.
While nothing waits the engine is warmed; when nothing has been asked for long it is closed, and opened again for the
next request.

    loading -> ready -> resting -> loading -> ...        after each of them: closed
       `-> failed -> loading (`again`, where that may help)

It knows neither LSP nor asyncio nor tensors. Its methods may be called from any thread; `on_state` and `on_step` are
called on the engine thread and must not block it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

from dgls_engine.errors import MAY_PASS, Cancelled, EngineClosed, EngineError
from dgls_engine.profile import ModelInfo
from dgls_engine.types import CancelToken, Infill, InfillRequest, Step

logger = logging.getLogger(__name__)

WorkerState = Literal["loading", "ready", "resting", "failed", "closed"]


class EngineLike(Protocol):
    """What a worker needs of an engine; `engine.Engine` is one. `info` and `count` work on a closed one, too."""

    @property
    def info(self) -> ModelInfo: ...

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]: ...

    def warm(self) -> Iterator[None]:
        """Make ready for what is asked most, a part of it at each `next`; whoever waits comes between two parts."""

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
    request made before and after, until `again`. `on_state(worker)` is called after each change of `state`. `clock`
    gives seconds."""

    def __init__(
        self,
        open_engine: Callable[[], EngineLike],
        on_state: Callable[[Worker], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_engine = open_engine
        self._on_state = on_state
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._running: _Job | None = None
        self._closing = False
        self._state: WorkerState = "loading"
        self._error: Exception | None = None
        self._engine: EngineLike | None = None
        self._rest_after: float | None = None
        self._used = 0.0
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
        """The model as it is now; None until it was open once."""
        return self._engine.info if self._engine is not None else None

    def count(self, text: str) -> int:
        """Tokens of a text, as the model counts them. From any thread, once `info` is known."""
        assert self._engine is not None, "no model was open yet"
        return self._engine.count(text)

    def rest_after(self, seconds: float | None) -> None:
        """Close a model on a GPU when nothing was asked of it for so long; None, as at first: never."""
        with self._changed:
            self._rest_after = seconds
            self._changed.notify()

    def again(self) -> None:
        """Try once more to open a model for which there was too little memory, or whose server would not have us: the
        user may have changed that meanwhile. Any other failure stays one."""
        with self._changed:
            if self._state == "failed" and isinstance(self._error, MAY_PASS):
                self._state, self._error = "loading", None
                self._changed.notify()

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

        A thread deep in an import or a load can't be stopped; being a daemon it dies with the process.
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
        while self._wanted():
            try:
                engine = self._open_engine()
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
                self._enter("resting")
        self._enter("closed")

    def _wanted(self) -> bool:
        """Wait until an engine is to be opened: at once, the first time. False when the worker is closing."""
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
            waiting = list(self._queue)
            self._queue.clear()
        self._enter("failed")
        for job in waiting:
            job.fail(error)

    def _enter(self, state: WorkerState) -> None:
        self._state = state
        if self._on_state is not None:
            self._on_state(self)

    def _work(self, engine: EngineLike) -> None:
        """Serve requests, and warm the engine while there are none; until it is to rest or the worker is closing."""
        warming: Iterator[None] | None = engine.warm()
        self._used = self._clock()
        while self._stays(engine, warming is not None):
            if (job := self._take()) is not None:
                self._serve(engine, job)
            elif warming is not None:
                warming = _warmed(warming)
            self._used = self._clock()

    def _stays(self, engine: EngineLike, warming: bool) -> bool:
        """Wait until there is something to do. False when the engine is to be closed."""
        with self._changed:
            while not (self._closing or self._queue or warming):
                left = self._left(engine)
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            return not self._closing

    def _left(self, engine: EngineLike) -> float | None:
        """Seconds until a model that nobody asks is to rest; None: it never is."""
        if self._rest_after is None or not engine.info.on_gpu:
            return None
        return self._used + self._rest_after - self._clock()

    def _take(self) -> _Job | None:
        """The next job, marked as running."""
        with self._changed:
            self._running = self._queue.popleft() if self._queue else None
            return self._running

    def _serve(self, engine: EngineLike, job: _Job) -> None:
        outcome: Infill | Exception | None = None
        if job.future.set_running_or_notify_cancel():
            try:
                outcome = self._infill(engine, job)
            except Exception as error:
                outcome = error
        # No longer running once it is settled: whoever waits may at once submit another with the same cancel token.
        with self._changed:
            self._running = None
        if isinstance(outcome, Infill):
            job.future.set_result(outcome)
        elif outcome is not None:
            job.future.set_exception(outcome)
        outcome = None  # its traceback would keep this frame, and so all that the engine had in hand

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


def _warmed(warming: Iterator[None]) -> Iterator[None] | None:
    """What is left of it after one part more. A cold engine is slower and no worse, so a failure is only logged."""
    try:
        next(warming)
    except StopIteration:
        return None
    except Exception as error:
        logger.warning("The model could not be warmed: %s", error, exc_info=not isinstance(error, EngineError))
        return None
    return warming


def _close(engine: EngineLike) -> None:
    """A device that is broken can't even be left in order; the thread goes on, or requests would wait for ever."""
    try:
        engine.close()
    except Exception:
        logger.exception("the engine could not be closed")
