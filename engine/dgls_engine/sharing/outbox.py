"""What a holder still has to send to one guest. The engine thread puts messages in and never waits for a guest.

Of several drafts that wait, only the newest is kept, and none before the answer. A guest that takes nothing is given
up. Thread-safe.
"""

from __future__ import annotations

import threading
from collections import deque

from dgls_engine.sharing.wire import Filled, FromHolder, Loaded, Stepped

_MOST = 64
"""Messages that wait. A guest has one request at a time, so more mean that it takes nothing."""


class Outbox:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: deque[FromHolder] = deque()
        self._ended = False

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
        with self._changed:
            if not (self._messages or self._ended):
                self._changed.wait(seconds)
            if self._messages:
                return self._messages.popleft()
            if self._ended:
                raise EOFError
            return None


def _outdates(message: FromHolder, earlier: FromHolder) -> bool:
    if isinstance(message, Stepped | Filled) and isinstance(earlier, Stepped):
        return message.number == earlier.number
    return isinstance(message, Loaded) and isinstance(earlier, Loaded)
