"""Names in the log what kept the asyncio loop: a turn that takes long delays every answer.

A thread asks the loop for a sign of life again and again. If none comes in time, the thread notes where the loop's
thread is. Knows nothing of what runs there.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

LONGEST_TURN = 0.1
"""Seconds."""

_WAITING = frozenset({"select", "_poll"})  # where loops wait for events
_FRAMES = 4
"""The innermost ones are named."""


@contextmanager
def watched(loop: asyncio.AbstractEventLoop, serving: Callable[[], bool]) -> Iterator[None]:
    """Watch the `loop` that runs on this thread, while it is `serving`: its start and end may take their time."""
    ended = threading.Event()
    arguments = (loop, threading.get_ident(), serving, ended)
    threading.Thread(target=_watch, args=arguments, name="dgls-watchdog", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _watch(loop: asyncio.AbstractEventLoop, thread: int, serving: Callable[[], bool], ended: threading.Event) -> None:
    while not ended.wait(LONGEST_TURN):
        alive = threading.Event()
        begun = time.monotonic()
        try:
            loop.call_soon_threadsafe(alive.set)
        except RuntimeError:  # the loop is closed
            return
        if alive.wait(LONGEST_TURN):
            continue
        places = traceback.extract_stack(sys._current_frames().get(thread))[-_FRAMES:]
        while not alive.wait(LONGEST_TURN):
            if ended.is_set():
                return
        if not serving() or (places and places[-1].name in _WAITING):
            continue  # the loop had nothing to do; the machine is busy, or another thread held the interpreter
        shown = " > ".join(f"{place.name} ({place.filename}:{place.lineno})" for place in places)
        logger.warning("The loop was busy for %.0f ms: %s", 1000 * (time.monotonic() - begun), shown)
