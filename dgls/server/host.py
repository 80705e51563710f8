"""The engine's place in the server: opened, watched, replaced by another, left to rest, and asked.

Knows the settings that choose a model, no documents and no LSP. Everything here runs on the asyncio loop and never
blocks it; the engine's thread only ever posts a wake-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass

from dgls.server.settings import Settings
from dgls_engine.errors import Cancelled, EngineClosed, NotEnoughMemory
from dgls_engine.profile import ModelInfo
from dgls_engine.types import CancelToken, Infill, InfillRequest, Loading, Step
from dgls_engine.worker import EngineLike, Worker

OpenEngine = Callable[[Settings, Loading], EngineLike]
"""Called on the engine thread, with the settings that a model was chosen by; it is to tell how far it is."""


@dataclass(slots=True)
class _Load:
    """How far it is, as the engine's thread has it; a load that was replaced goes on for itself."""

    percent: int | None = None


class Host:
    """`changed` is called when there may be something to tell; each of `warners` with what the user must hear."""

    def __init__(self, open_engine: OpenEngine, changed: Callable[[], None]) -> None:
        self.warners: list[Callable[[str], None]] = []
        self._open_engine = open_engine
        self._changed = changed
        self._settings = Settings()
        self._worker: Worker | None = None
        self._load = _Load()
        self._waiting: list[asyncio.Future[None]] = []
        self._shortage = ""
        self._warned = False

    @property
    def worker(self) -> Worker | None:
        """None until a model was asked for."""
        return self._worker

    @property
    def percent(self) -> int | None:
        """How much of the model is loaded; None where that is not known."""
        return self._load.percent

    @property
    def shortage(self) -> str:
        """What was said when a request ran out of memory; empty where none did since the model was loaded."""
        return self._shortage

    @property
    def ready(self) -> bool:
        """May something be asked for that nobody waits for? If it finds the model at rest, that is loaded again."""
        return self._worker is not None and self._worker.state in ("ready", "resting")

    @property
    def info(self) -> ModelInfo | None:
        """The model; None until it was open once."""
        return self._worker.info if self._worker is not None else None

    def start(self) -> Worker:
        """Open a model in the background, if none was asked for yet."""
        return self._worker or self._begin(replaced=None)

    def configure(self, settings: Settings) -> None:
        """A model that is open already is replaced where the settings choose another."""
        before, self._settings = self._settings, settings
        if self._worker is not None and _choice(before) != _choice(settings):
            self._begin(replaced=self._worker)
        elif self._worker is not None:
            self._worker.rest_after(_idle_seconds(settings))

    async def model(self, cancel: CancelToken) -> ModelInfo:
        """Wait until the model is known; asking for it opens it, and once more where memory was short. Raises the error
        of opening, and `Cancelled`."""
        self.start().again()
        while (info := (worker := self.start()).info) is None:
            if worker.error is not None:
                raise worker.error
            if cancel.cancelled:
                raise Cancelled("What the model was wanted for is over.")
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        return info

    async def infill(
        self,
        request: InfillRequest,
        cancel: CancelToken,
        key: Hashable,
        on_step: Callable[[Step], None] | None = None,
        *,
        asked: bool,
    ) -> Infill:
        """The engine's answer; a model at rest is loaded for it. Raises the engine's errors.

        Whoever `asked` for it is told of its failure. Of others the user hears once, and only that memory is short.
        """
        worker = self.start()
        try:
            return await asyncio.wrap_future(worker.submit(request, cancel, key, on_step))
        except NotEnoughMemory as error:
            if worker is self._worker and worker.state != "failed":  # that is told by itself
                self._short(str(error), asked)
            raise

    def tell(self) -> None:
        """Wake who waits for a change, and say that there may be one."""
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)
        if self._worker is not None and self._worker.state in ("loading", "resting"):
            self._shortage = ""  # what is loaded anew begins with all of its prompt
        self._changed()

    def close(self, timeout: float) -> bool:
        """False if the engine's thread did not end within `timeout` seconds."""
        return self._worker is None or self._worker.close(timeout)

    def _begin(self, replaced: Worker | None) -> Worker:
        settings, loop = self._settings, asyncio.get_running_loop()

        def open_engine() -> EngineLike:
            nonlocal replaced
            if replaced is not None:  # its memory first: two models may not fit
                replaced.close(None)
                replaced = None
            if load is not self._load:
                raise EngineClosed("The settings chose another model before this one was loaded.")
            load.percent = None
            return self._open_engine(settings, loading)

        def loading(done: int, total: int) -> None:
            percent = 100 * done // max(1, total)
            if percent != load.percent:
                load.percent = percent
                wake()

        def wake(_: Worker | None = None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                loop.call_soon_threadsafe(self.tell)

        if replaced is not None:
            replaced.close(0)
        load = self._load = _Load()
        self._shortage, self._warned = "", False
        worker = self._worker = Worker(open_engine, wake)
        worker.rest_after(_idle_seconds(settings))
        self.tell()
        return worker

    def _short(self, message: str, asked: bool) -> None:
        warned, self._warned, self._shortage = self._warned, True, message
        for warn in self.warners if not (asked or warned) else ():
            warn(message)
        self.tell()


def _choice(settings: Settings) -> tuple[object, ...]:
    """What an open model depends on."""
    return settings.model, settings.device, settings.dtype, settings.threads, settings.engine


def _idle_seconds(settings: Settings) -> float | None:
    return 60 * settings.idle_minutes or None
