"""The process that holds a model answers its guests: it passes their requests to its own worker.

Each guest has two threads here: one reads its requests, one sends it answers, and a beat when there is nothing to send.
The beat shows that this process runs, not that the engine thread is idle. A third thread lets guests in. The engine
thread only puts messages into outboxes. Knows no engine and no model.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from dgls_engine.errors import Cancelled, EngineClosed
from dgls_engine.profile import ModelInfo
from dgls_engine.sharing.line import SECONDS, Door, Line, LineEnded
from dgls_engine.sharing.outbox import Outbox
from dgls_engine.sharing.patience import Patience
from dgls_engine.sharing.place import Lock, Place
from dgls_engine.sharing.wire import (
    Asked,
    Beaten,
    Failed,
    Filled,
    FromHolder,
    Left,
    Loaded,
    Opened,
    Scored,
    Stepped,
    Unreadable,
    encode,
    from_guest,
)
from dgls_engine.types import CancelToken, Infill, Score, ScoreRequest
from dgls_engine.worker import Worker

_GUESTS = 64
_CHECK_SECONDS = 1.0
"""How often the holder looks whether its socket is still there."""
_FAREWELL_SECONDS = 0.2
"""How long a holder that leaves waits until its guests are told. A guest also notices without it."""


class Holder:
    """Has the model's lock and lets guests in. `worker` answers them once it has a model."""

    @classmethod
    def elected(cls, place: Place, worker: Worker, patience: Patience) -> Holder | None:
        """None if another process is the holder. Raises `OSError` if there can be none here."""
        if (lock := Lock.take(place.lock)) is None:
            return None
        try:
            return cls(place, lock, worker, patience)
        except BaseException:
            lock.release()
            raise

    def __init__(self, place: Place, lock: Lock, worker: Worker, patience: Patience) -> None:
        self._place, self._lock, self._worker, self._patience = place, lock, worker, patience
        self._key = place.write_pass(_own_name())
        self._door = Door(place.socket)
        self._guarding = threading.Lock()
        self._guests: list[_Guest] = []
        self._news: FromHolder | None = None
        self._closed = False
        threading.Thread(target=self._let_in, name="dgls-door", daemon=True).start()

    def loading(self, done: int, total: int) -> None:
        self._tell(Loaded(done, total))

    def opened(self, info: ModelInfo) -> None:
        self._tell(Opened(info))

    def close(self, farewell: Left | Failed) -> None:
        """Send all guests away. Their requests are cancelled here; they ask the next holder."""
        with self._guarding:
            self._closed = True
            guests = list(self._guests)
        self._door.close()
        for guest in guests:
            guest.outbox.put(farewell)
            guest.outbox.end()
        until = time.monotonic() + _FAREWELL_SECONDS
        for guest in guests:
            guest.part(until)

    def release(self) -> None:
        """Let another process be the holder. Call it when the model is no longer in memory."""
        self._lock.release()

    def _tell(self, news: FromHolder) -> None:
        with self._guarding:
            self._news = news  # also for those who come later
            for guest in self._guests:
                guest.outbox.put(news)

    def _let_in(self) -> None:
        while not self._closed:
            try:
                line = self._door.accept(_CHECK_SECONDS)
            except OSError:
                if self._closed:
                    return
                line = None
            if line is not None:
                self._welcome(line)
            self._keep_house()

    def _keep_house(self) -> None:
        with self._guarding, suppress(OSError):
            if not self._closed:
                self._lock.renew()
                if not self._door.stands:  # a program that cleans up took the socket away, or another took its place
                    self._door.close()
                    self._door = Door(self._place.socket)

    def _welcome(self, line: Line) -> None:
        with self._guarding:
            if self._closed or len(self._guests) >= _GUESTS:
                line.close()
                return
            guest = _Guest(line, self._worker, self._patience.beat, self._leave)
            self._guests.append(guest)
        guest.begin(self._key, self._admit)

    def _admit(self, guest: _Guest) -> None:
        """The guest knows the key: from now on it gets the news, beginning with the last."""
        with self._guarding:
            if self._news is not None:
                guest.outbox.put(self._news)

    def _leave(self, guest: _Guest) -> None:
        with self._guarding:
            self._guests.remove(guest)


class _Guest:
    """One guest, seen by the holder."""

    def __init__(self, line: Line, worker: Worker, beat: float, leave: Callable[[_Guest], None]) -> None:
        self.line, self.outbox = line, Outbox()
        self.writing = threading.Thread(target=self._write, name="dgls-guest-out", daemon=True)
        self._worker, self._beat, self._leave = worker, beat, leave
        self._running: dict[int, CancelToken] = {}
        self._told: ModelInfo | None = None

    def begin(self, key: bytes, admit: Callable[[_Guest], None]) -> None:
        threading.Thread(target=self._read, args=(key, admit), name="dgls-guest-in", daemon=True).start()

    def part(self, until: float) -> None:
        """Hang up once everything is sent, at the latest at the time `until`."""
        if self.writing.is_alive():
            self.writing.join(max(0.0, until - time.monotonic()))
        self.line.hang_up()

    def _read(self, key: bytes, admit: Callable[[_Guest], None]) -> None:
        try:
            self.line.greet(key, SECONDS, first=True)
            admit(self)
            self.writing.start()
            while (message := self.line.receive(None)) is not None:
                self._take(message)
        except (LineEnded, Unreadable):
            pass
        finally:
            self._leave(self)
            self._worker.leave(self)
            self.outbox.end()
            self.line.close()

    def _take(self, message: bytes) -> None:
        said = from_guest(message)
        if not isinstance(said, Asked):
            if (cancel := self._running.get(said.number)) is not None:
                cancel.cancel()
            return
        cancel = self._running[said.number] = CancelToken()
        self._submitted(said, cancel).add_done_callback(partial(self._answer, said.number, cancel))

    def _submitted(self, asked: Asked, cancel: CancelToken) -> Future[Any]:
        request, number = asked.request, asked.number
        if isinstance(request, ScoreRequest):
            return self._worker.score(request, cancel, "request", caller=self)
        return self._worker.submit(
            request, cancel, "request", lambda step: self.outbox.put(Stepped(number, step)), caller=self
        )

    def _answer(self, number: int, cancel: CancelToken, future: Future[Any]) -> None:
        self._running.pop(number, None)
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, (Cancelled, EngineClosed)):
            if not cancel.cancelled or self._worker.closing:  # not the guest's wish: it may ask somebody else
                self.outbox.end()
            return
        answer = _answer_of(number, future.result()) if error is None else Failed.of(number, error)
        if (info := self._worker.info) is not None and info is not self._told:
            self._told = info
            self.outbox.put(Opened(info))
        self.outbox.put(answer)

    def _write(self) -> None:
        try:
            while True:
                self.line.send(encode(self.outbox.take(self._beat) or Beaten()))
        except (LineEnded, EOFError):
            self.line.hang_up()


def _answer_of(number: int, result: Infill | Sequence[Score]) -> Filled | Scored:
    return Filled(number, result) if isinstance(result, Infill) else Scored(number, tuple(result))


def _own_name() -> str:
    """Which process this is, for people."""
    try:
        return f"process {os.getpid()}, started in {Path.cwd()}"
    except OSError:  # the folder is gone
        return f"process {os.getpid()}"
