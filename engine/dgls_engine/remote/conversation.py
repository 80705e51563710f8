"""One request's conversation with the server: several canvases at once, until they are back or it is over.

The engine thread waits here, and looks at the cancel token while it does. Knows the transport and the engine's event
loop; runs on the engine thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from dgls_engine.errors import Cancelled
from dgls_engine.remote import wire
from dgls_engine.remote.handshake import cannot_pin
from dgls_engine.remote.transport import Transport
from dgls_engine.remote.wire import Ask, Told
from dgls_engine.types import CancelToken

T = TypeVar("T")

_LOOK_SECONDS = 0.005
"""How often the cancel token is looked at. A denoising step takes longer."""

_TELLING, _LEAST = 24, 0.25
"""From so many pinned positions on it shows whether the server saw them: the model repeats most of what it sees, and
next to nothing of what it doesn't."""


class Asking:
    """`until` is a time of `time.monotonic`, None: never. `computed`: prompt tokens that the server had to compute."""

    def __init__(
        self,
        runner: asyncio.Runner,
        transport: Transport,
        model: str,
        prompt: Sequence[int],
        cancel: CancelToken,
        until: float | None,
    ) -> None:
        self._runner, self._transport, self._model = runner, transport, model
        self.prompt, self._cancel, self._until = prompt, cancel, until
        self.computed = len(prompt)
        self._answered = False

    def all(self, asks: Sequence[Ask]) -> list[Told | None]:
        """All answers, in order; None for those that the deadline cut off. Raises `Cancelled`, and the first of the
        server's errors, which ends the rest."""
        found: list[Told | None] = [None] * len(asks)
        if self._until is not None and time.monotonic() >= self._until:
            return found
        with suppress(TimeoutError):
            waited(self._runner, self._gather(asks, found), self._cancel, self._until)
        if not self._answered:
            told = [one.cached for one in found if one is not None and one.cached is not None]
            self.computed = len(self.prompt) - min(told, default=0)
            self._answered = bool(told)
        return found

    async def _gather(self, asks: Sequence[Ask], found: list[Told | None]) -> None:
        async def one(place: int, ask: Ask) -> None:
            body = wire.body(ask, self._model)
            found[place] = told = await self._transport.stream("/v1/completions", body, partial(wire.Gathering, ask))
            if _ignored(ask, told):
                raise cannot_pin(self._transport.address)

        try:
            async with asyncio.TaskGroup() as group:
                for place, ask in enumerate(asks):
                    group.create_task(one(place, ask))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None


def _ignored(ask: Ask, told: Told) -> bool:
    """Did another model, or an older server behind the same address, write what it liked?"""
    pinned = [position for position in ask.pinned if position < ask.end]
    kept = sum(told.ids[position] == ask.canvas[position] for position in pinned)
    return len(pinned) >= _TELLING and kept < _LEAST * len(pinned)


def waited(runner: asyncio.Runner, work: Coroutine[Any, Any, T], cancel: CancelToken, until: float | None = None) -> T:
    """What `work` gives. It is given up, and with it its connections, when `cancel` is set (`Cancelled`) or at the time
    `until` (`TimeoutError`)."""
    return runner.run(_watched(work, cancel, until))


async def _watched(work: Coroutine[Any, Any, T], cancel: CancelToken, until: float | None) -> T:
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            if cancel.cancelled:
                raise Cancelled
            if until is not None and time.monotonic() >= until:
                raise TimeoutError
            await asyncio.wait({task}, timeout=_LOOK_SECONDS)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
