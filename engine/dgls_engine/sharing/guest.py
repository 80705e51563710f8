"""An engine that runs in another process, the model's holder, behind the interface of `engine.Engine`.

The worker's thread makes the calls and waits here; another thread hears the holder. A holder that is silent is not
waited for: requests fail with `HolderSilent` until it speaks again. If it ends, the worker is told to open another
engine, and the request that it was asked fails with `EngineLost`. Imports no torch.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from dgls_engine.errors import Cancelled, EngineClosed, EngineError, EngineLost, HolderSilent
from dgls_engine.profile import ModelInfo
from dgls_engine.sharing.line import Line, LineEnded, call
from dgls_engine.sharing.patience import Patience
from dgls_engine.sharing.place import Lock, Place
from dgls_engine.sharing.wire import (
    Asked,
    Dropped,
    Failed,
    Filled,
    FromHolder,
    Left,
    Loaded,
    Opened,
    Request,
    Scored,
    Stepped,
    Unreadable,
    encode,
    from_holder,
)
from dgls_engine.types import CancelToken, Infill, InfillRequest, Loading, Score, ScoreRequest, Step

_LOOK_SECONDS = 0.01
"""How often the cancel token is looked at. A denoising step of a model that is shared takes about as long."""
_NOTICE_SECONDS = 1.0

Answer = Stepped | Filled | Scored | Failed

_OTHER_ANSWER = "the window that holds the model answered another question"


class Guest:
    """`lost(guest, reopen)` is called once, when the holder has left or is gone. `known` is what is known of the model
    without the holder."""

    def __init__(
        self,
        place: Place,
        known: ModelInfo,
        count: Callable[[str], int],
        lost: Callable[[Guest, bool], None],
        loading: Loading,
        patience: Patience,
    ) -> None:
        self.count = count
        self._place, self._lost, self._loading, self._patience = place, lost, loading, patience
        self._info, self._holder = known, ""
        self._silent = False
        self._line: Line | None = None
        self._failure: Exception | None = None
        self._open, self._over, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._numbers = itertools.count(1)
        self._asked: tuple[int, SimpleQueue[Answer | None]] = 0, SimpleQueue()
        threading.Thread(target=self._attend, name="dgls-holder", daemon=True).start()

    @property
    def info(self) -> ModelInfo:
        return replace(self._info, holder=self._holder, health="not answering" if self._silent else "")

    def settled(self, stop: Callable[[], bool]) -> bool:
        """Wait until the holder has opened the model, or is silent. False if there is no holder any more. Raises the
        error of opening the model, and `EngineClosed` as soon as `stop()`."""
        while not self._open.wait(self._patience.again):
            if stop():
                raise EngineClosed("The engine was closed while it waited for another window's.")
            if self._over.is_set():
                break
            if self._silent:
                return True
        if self._failure is not None:
            raise self._failure
        return not self._over.is_set()

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        """As `Engine.infill`. Also raises `HolderSilent` and `EngineLost`."""
        for answer in self._answers(request, cancel):
            if isinstance(answer, Scored):
                raise EngineError(_OTHER_ANSWER)
            yield answer.step if isinstance(answer, Stepped) else answer.infill

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> Sequence[Score]:
        """As `Engine.scores`. Also raises `HolderSilent` and `EngineLost`."""
        *_, answer = self._answers(request, cancel)
        if not isinstance(answer, Scored):
            raise EngineError(_OTHER_ANSWER)
        return answer.scores

    def _answers(self, request: Request, cancel: CancelToken | None) -> Iterator[Stepped | Filled | Scored]:
        """The last one is no `Stepped`."""
        cancel, number, inbox = cancel or CancelToken(), next(self._numbers), SimpleQueue[Answer | None]()
        line = self._line_when_open(cancel)
        self._asked, answered = (number, inbox), False
        try:
            line.send(encode(Asked(number, request)))
            while not answered:
                answer = self._next(inbox, cancel)
                answered = not isinstance(answer, Stepped)
                if isinstance(answer, Failed):
                    raise answer.error
                yield answer
        except LineEnded:
            raise self._gone() from None
        finally:
            if not answered:
                self._drop(line, number)

    def warm(self) -> Iterator[None]:
        """Nothing: the holder does."""
        return iter(())

    def close(self) -> None:
        self._closed.set()
        if (line := self._line) is not None:
            line.hang_up()

    def _line_when_open(self, cancel: CancelToken) -> Line:
        while not self._open.wait(_LOOK_SECONDS):
            self._check(cancel)
        if self._closed.is_set():
            raise EngineClosed("the engine is closed; open it again")
        if self._line is None or self._over.is_set():
            raise self._gone()
        self._check(cancel)
        return self._line

    def _next(self, inbox: SimpleQueue[Answer | None], cancel: CancelToken) -> Answer:
        while True:
            try:
                answer = inbox.get(timeout=_LOOK_SECONDS)
            except Empty:
                self._check(cancel)
                continue
            if answer is None:
                raise self._gone()
            return answer

    def _check(self, cancel: CancelToken) -> None:
        if cancel.cancelled:
            raise Cancelled
        if self._over.is_set():
            raise self._gone()
        if self._silent:
            raise HolderSilent(
                f"The dgls of another window holds the model and does not answer ({self._holder or 'unknown'}). "
                "End that process, or wait for it"
            )

    def _gone(self) -> EngineLost:
        """The error to raise once the worker has been told."""
        if self._line is not None:
            self._line.hang_up()
        self._over.wait(_NOTICE_SECONDS)
        return EngineLost("The dgls of another window held the model and ended. Ask again")

    @staticmethod
    def _drop(line: Line, number: int) -> None:
        with suppress(LineEnded):  # the thread that hears notices it
            line.send(encode(Dropped(number)))

    def _attend(self) -> None:
        """Find the holder and hear it to its end. Runs on a thread of its own."""
        reopen = True
        try:
            if self._find():
                reopen = self._hear()
        except LineEnded:
            pass
        finally:
            self._silent = False
            if self._line is not None:
                self._line.close()
            if not self._closed.is_set():
                self._lost(self, reopen)  # first: who sees that this engine is lost may rely on the worker to know it
            self._over.set()
            self._open.set()
            self._asked[1].put(None)

    def _find(self) -> bool:
        """Try until there is a line to the holder; False if there is no holder."""
        started = time.monotonic()
        while not self._closed.is_set():
            try:
                self._line = self._reached()
                return True
            except (LineEnded, OSError):
                with suppress(OSError):
                    if Lock.free(self._place.lock):
                        break
                self._silent = time.monotonic() - started > self._patience.silence
                self._closed.wait(self._patience.again)
        return False

    def _reached(self) -> Line:
        key, holder = self._place.read_pass()
        line = call(self._place.socket)
        try:
            line.greet(key, self._patience.silence, first=False)
        except LineEnded:
            line.close()
            raise
        self._holder = holder
        return line

    def _hear(self) -> bool:
        """Take messages until the holder leaves; whether another should load the model now. Raises `LineEnded`."""
        line = self._line
        assert line is not None
        while True:
            message = line.receive(self._patience.silence)
            self._silent = message is None  # not by a clock: this process, too, may have been stopped
            if message is None:
                continue
            try:
                said = from_holder(message)
            except Unreadable as error:
                raise LineEnded(str(error)) from None
            if isinstance(said, Left):
                return said.wanted
            if isinstance(said, Failed) and said.number is None:
                self._failure = said.error
                return False
            self._take(said)

    def _take(self, said: FromHolder) -> None:
        if isinstance(said, Loaded):
            self._loading(said.done, said.total)
        elif isinstance(said, Opened):
            self._info = said.info
            self._open.set()
        elif isinstance(said, Answer):
            number, inbox = self._asked
            if said.number == number:  # the others are no longer wanted
                inbox.put(said)
