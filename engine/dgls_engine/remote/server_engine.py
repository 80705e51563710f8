"""The part of an engine on a server that does not depend on what it asks for: greeting, errors, health, connections.

One thread opens an engine and makes all calls; its event loop runs only during a call. Nothing outlives a request but
idle connections. Opening succeeds without an answer of the server: each request asks a server again that did not
answer, or that refused the request before. Knows the transport, neither tokens nor prompts.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Self

from dgls_engine.errors import EngineClosed, EngineError, ServerUnfit, ServerUnreachable
from dgls_engine.loop.stopping import deadline_of
from dgls_engine.profile import Health, ModelInfo, Profile
from dgls_engine.remote.address import Address, Credentials
from dgls_engine.remote.conversation import waited
from dgls_engine.remote.handshake import Served
from dgls_engine.remote.transport import Patience, Transport
from dgls_engine.types import CancelToken, Infill, InfillRequest, Score, ScoreRequest, Step


class NothingInTime(Exception):
    """The deadline struck before the first answer. The server may well be there."""


class ServerEngine(ABC):
    """`info` is what is known without the server."""

    def __init__(self, address: Address, patience: Patience, info: ModelInfo) -> None:
        self.info = replace(info, scores=False)
        self._address, self._patience = address, patience
        self._served: Served | None = None
        self._runner: asyncio.Runner | None = asyncio.Runner()
        self._transport = Transport(address, Credentials(address), patience)

    @property
    def profile(self) -> Profile:
        return self.info.profile

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        """Fill the request's holes: a `Step` for each draft that the server gave back, then one `Infill`.

        Nothing happens before the first `next`. Raises `Cancelled` when `cancel` is set, which ends the work on the
        server, too, and the other errors of `errors`.
        """
        deadline = deadline_of(request.limits, time.monotonic)
        cancel = cancel or CancelToken()
        try:
            served = self._served or self._greet(cancel, deadline.end)
            for event in self._filled(request, served, cancel, deadline.end):
                self._report("")  # now: whoever has the `Infill` need not ask for more
                yield event
        except NothingInTime:
            self._report("not answering")
            raise ServerUnreachable(
                self._silence(f"gave nothing back within {request.limits.deadline_ms} ms")
            ) from None
        except (ServerUnreachable, ServerUnfit) as error:
            self._served = None
            self._report("refusing" if isinstance(error, ServerUnfit) else "not answering")
            raise

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> Sequence[Score]:
        """Raises `EngineError`: no server is asked for the surprise of a given text yet."""
        raise EngineError(
            "a model on a server scores no texts, so there is no next edit; run the model on this machine"
        )

    def warm(self) -> Iterator[None]:
        """Nothing: the server is warm, or not, for all of its users."""
        return iter(())

    @abstractmethod
    def count(self, text: str) -> int:
        """Tokens of a text by itself. May be called from any thread, and on a closed engine."""

    def close(self) -> None:
        """Close the connections. Further requests raise `EngineClosed`; closing twice is fine."""
        if self._runner is not None:
            self._runner.run(self._transport.close())
            self._runner.close()
            self._runner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    @abstractmethod
    async def _greeting(self) -> Served:
        """What the server says of itself. Raises `ServerUnfit` with what to change, and `ServerUnreachable`."""

    @abstractmethod
    def _adopt(self, served: Served) -> None:
        """Go by what the server said of itself. Raises `ServerUnfit`."""

    @abstractmethod
    def _filled(
        self, request: InfillRequest, served: Served, cancel: CancelToken, until: float | None
    ) -> Iterator[Step | Infill]:
        """As `infill`; `until` is a time of `time.monotonic`. Raises `NothingInTime`."""

    def _opened(self) -> Self:
        """Ask the server whether it can serve. That it can't be reached is no error, but shows in `info`."""
        try:
            self._greet(CancelToken(), time.monotonic() + self._patience.absence)
        except ServerUnreachable:
            pass
        except BaseException:
            self.close()
            raise
        return self

    def _loop(self) -> asyncio.Runner:
        if self._runner is None:
            raise EngineClosed("the engine is closed; open it again")
        return self._runner

    def _greet(self, cancel: CancelToken, until: float | None = None) -> Served:
        runner = self._loop()
        try:
            served = waited(runner, self._greeting(), cancel, until)
        except (ServerUnreachable, TimeoutError) as error:
            self._report("not answering")
            if isinstance(error, ServerUnreachable):
                raise
            raise ServerUnreachable(self._silence("does not answer in time")) from None
        self._adopt(served)
        self._served = served
        self._report("")
        return served

    def _report(self, health: Health) -> None:
        if health != self.info.health:
            self.info = replace(self.info, health=health)

    def _silence(self, said: str) -> str:
        """With why, where that is known: our tries were to go on for longer than there was time."""
        trouble = self._transport.trouble
        return f"{trouble}; it {said}" if trouble else f"the server at {self._address.host} {said}"
