"""What a holder still has to send to one guest. The engine thread puts messages in and never waits for a guest.

Of several drafts that wait, only the newest is kept, and none before the answer; drafts go out 20 times a second at
most, because each costs both processes some half a millisecond. A guest that takes nothing is given
up. Thread-safe.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from dgls_engine.sharing.wire import Filled, FromHolder, Loaded, Stepped

_MOST = 64
"""Messages that wait. A guest has one request at a time, so more mean that it takes nothing."""

_DRAFT_SECONDS = 0.05
"""Editors are sent drafts no more often."""


class Outbox:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: deque[FromHolder] = deque()
        self._ended = False
        self._next_draft = 0.0

    def put(self, *messages: FromHolder) -> None:
        with self._changed:
            for message in messages:
                if self._messages and _outdates(message, self._messages[-1]):
                    self._messages.pop()
                self._messages.append(message)
            if len(self._messages) > _MOST:
                self._messages.clear()
                self._ended = True
            self._changed.notify()

    def end(self) -> None:
        """Nothing follows what is in it now."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def take(self, seconds: float) -> FromHolder | None:
        """The next message; None if there is none within `seconds`. Raises `EOFError` when nothing follows."""
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                now = time.monotonic()
                early = self._next_draft - now if self._only_a_draft else 0.0
                if self._messages and (early <= 0.0 or self._ended):
                    return self._popped(now)
                if self._ended:
                    raise EOFError
                if now >= end:
                    return None
                self._changed.wait(min(end - now, early) if early > 0.0 else end - now)

    @property
    def _only_a_draft(self) -> bool:
        return len(self._messages) == 1 and isinstance(self._messages[0], Stepped)

    def _popped(self, now: float) -> FromHolder:
        message = self._messages.popleft()
        if isinstance(message, Stepped):
            self._next_draft = now + _DRAFT_SECONDS
        return message


def _outdates(message: FromHolder, earlier: FromHolder) -> bool:
    if isinstance(message, Stepped | Filled) and isinstance(earlier, Stepped):
        return message.number == earlier.number
    return isinstance(message, Loaded) and isinstance(earlier, Loaded)
