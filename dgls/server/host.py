"""Owns the engine: opens it, replaces it when the settings change, unloads it when idle, sends it requests.

Knows the settings that choose a model. Knows no documents and no LSP. Everything here runs on the asyncio loop and
never blocks it; the engine thread only posts wake-ups to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Thread
from typing import Literal, get_args

from dgls.server.settings import Settings
from dgls_engine.errors import (
    MAY_PASS,
    BrokenCheckpoint,
    Cancelled,
    EngineClosed,
    EngineError,
    HolderSilent,
    NotEnoughMemory,
    reason_of,
)
from dgls_engine.profile import Health, ModelInfo
from dgls_engine.types import CancelToken, Infill, InfillRequest, Loading, Score, ScoreRequest, Step
from dgls_engine.weights import speeds
from dgls_engine.weights.auto import fallback_advice, resolved
from dgls_engine.worker import EngineLike, Worker

OpenEngine = Callable[[Settings, Loading], EngineLike]
"""Opens the model that the settings choose and reports its progress. Called on the engine thread."""
Share = Callable[[Settings, Callable[[Loading], EngineLike], Loading, Worker], EngineLike]
"""Opens the model as `OpenEngine` does, or finds it in the process of another window. Called on the engine thread."""
State = Literal["loading", "ready", "working", "resting", "paused", "failed"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Status:
    """What `dgls/status` reports; a field is None while its value is not known. After a failure `message` says what to
    do. In the state "resting" the model is unloaded.

    `health` is that of the server or the window that runs the model, empty if it is well. `memory` counts the bytes of
    the model's weights on the device. `instructions` says whether the model takes instructions. `holder` is the process
    of another window that has the model in memory, empty if it is this one.
    """

    state: State
    model: str
    device: str | None = None
    message: str = ""
    percent: int | None = None
    memory: int | None = None
    instructions: bool | None = None
    health: Health = ""
    holder: str = ""


@dataclass(slots=True)
class _Load:
    """The progress of one load, written by the engine thread. A load that was replaced keeps its own."""

    percent: int | None = None
    timed: bool = False


TIMED_STEPS = 4
"""Steps of a fill that says how fast a model is. In a shorter one the first step counts too much."""


def alone(settings: Settings, load: Callable[[Loading], EngineLike], loading: Loading, worker: Worker) -> EngineLike:
    """Each window has a model of its own."""
    return load(loading)


class Host:
    """Calls `changed` when the status may have changed, and each of `warners` with a warning for the user."""

    def __init__(self, open_engine: OpenEngine, changed: Callable[[], None], share: Share = alone) -> None:
        self.warners: list[Callable[[str], None]] = []
        self._open_engine = open_engine
        self._share = share
        self._changed = changed
        self._fallback_advice: str | None = None
        self._settings = self._resolve(Settings())
        self._worker: Worker | None = None
        self._load = _Load()
        self._waiting: list[asyncio.Future[None]] = []
        self._trouble = ""
        self._warned = False

    @property
    def worker(self) -> Worker | None:
        """None until a model is needed."""
        return self._worker

    @property
    def ready(self) -> bool:
        """Whether automatic requests may be sent. An unloaded model is loaded again for them."""
        return self._worker is not None and self._worker.state in ("ready", "unloaded")

    @property
    def info(self) -> ModelInfo | None:
        """The open or last opened model; None before the first model is open."""
        return self._worker.info if self._worker is not None else None

    @property
    def local_model(self) -> str | None:
        """The name of the model that runs on this machine; None if a server runs one."""
        return None if self._settings.engine.url else self._settings.model

    @property
    def fallback_advice(self) -> str | None:
        """How to get the small model, if the embedded one was opened because the small one is missing."""
        return self._fallback_advice if self._worker is not None else None

    def status(self, working: bool) -> Status:
        """`working`: requests are running."""
        worker, model, enabled = self._worker, self._settings.model, self._settings.inline_completion.enabled
        if worker is not None and worker.state == "failed":
            return Status("failed", model, message=_advice(worker.error))
        if worker.state == "loading" if worker is not None else enabled or working:
            return Status("loading", model, message=f"Loading the model {model}.", percent=self._load.percent)
        unloaded = worker is not None and worker.state == "unloaded"
        state: State = "working" if working else "paused" if not enabled else "resting" if unloaded else "ready"
        message = _MESSAGES.get(state, self._trouble)
        info = self.info
        if info is None:
            return Status(state, model, message=message)
        memory, instructions = None if unloaded else info.weight_bytes or None, info.profile.takes_instructions
        holder = "" if unloaded else info.holder
        return Status(state, info.name, info.device, message, None, memory, instructions, info.health, holder)

    def start(self) -> Worker:
        """The worker, which opens a model in the background. Starts one if there is none."""
        return self._worker or self._begin(replaced=None)

    def configure(self, settings: Settings) -> None:
        """Replace an open model if the settings choose another one, or if `auto` means another one by now."""
        settings = self._resolve(settings)
        before, self._settings = self._settings, settings
        if self._worker is not None and _model_settings(before) != _model_settings(settings):
            self._begin(replaced=self._worker)
        elif self._worker is not None:
            self._worker.unload_after(_idle_seconds(settings))

    async def model(self, cancel: CancelToken) -> ModelInfo:
        """Open the model if needed and wait for it. Retries a load that failed for a reason that may have passed.

        Raises the error of opening, and `Cancelled`.
        """
        self.start().retry()
        while (info := (worker := self.start()).info) is None:
            if worker.error is not None:
                raise worker.error
            if cancel.cancelled:
                raise Cancelled("The request that waits for the model was cancelled.")
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
        invoked: bool,
    ) -> Infill:
        """Send a request to the engine. Loads an unloaded model. Raises the engine's errors.

        The caller reports the errors of an `invoked` request. If an automatic request lacks memory, or the model fails
        at it, or the window that holds the model is silent, `warners` tell the user, once for each model; its other
        errors are not reported. The model stays open: it may fill other places. If the window that holds the model ends
        meanwhile, an `invoked` request is sent to the next.
        """
        worker = self.start()
        try:
            infill = await asyncio.wrap_future(worker.submit(request, cancel, key, on_step, again=invoked))
            self._time(infill)
            return infill
        except Exception as error:
            trouble = _worth_telling(error)
            if trouble and worker is self._worker and worker.state != "failed":  # the status reports a failed load
                self._note(trouble, invoked, lasts=not isinstance(error, HolderSilent))
            raise

    async def scores(self, request: ScoreRequest, cancel: CancelToken, key: Hashable) -> Sequence[Score]:
        """Score texts with the open model. Raises the engine's errors; they are not reported to the user."""
        return await asyncio.wrap_future(self.start().score(request, cancel, key))

    def _time(self, infill: Infill) -> None:
        """Keep how fast the open model runs here, by its first fill of some steps."""
        here = not self._settings.engine.url
        if here and infill.steps >= TIMED_STEPS and not self._load.timed and self.info is not None:
            self._load.timed = True
            ms = infill.timings.denoise_ms / infill.steps
            Thread(target=speeds.remember, args=(self.info.name, ms), daemon=True).start()

    def tell(self) -> None:
        """Wake the requests that wait for the model, and call `changed`."""
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)
        if self._worker is not None and self._worker.state in ("loading", "unloaded"):
            self._trouble = ""  # a new load starts with the full prompt length
        self._changed()

    def close(self, timeout: float) -> bool:
        """False if the engine thread did not end within `timeout` seconds."""
        return self._worker is None or self._worker.close(timeout)

    def _begin(self, replaced: Worker | None) -> Worker:
        settings, loop = self._settings, asyncio.get_running_loop()

        def open_engine(worker: Worker) -> EngineLike:
            nonlocal replaced
            if replaced is not None:  # free its memory first: two models may not fit
                replaced.close(None)
                replaced = None
            if load is not self._load:
                raise EngineClosed("The settings chose another model before this one was loaded.")
            load.percent = None
            return self._share(settings, partial(self._open_engine, settings), loading, worker)

        def loading(done: int, total: int) -> None:
            percent = 100 * done // max(1, total)
            if percent != load.percent:
                load.percent = percent
                wake()

        def wake(_: Worker | None = None) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self.tell)

        if replaced is not None:
            replaced.close(0)
        load = self._load = _Load()
        self._trouble, self._warned = "", False
        worker = self._worker = Worker(open_engine, wake)
        worker.unload_after(_idle_seconds(settings))
        self.tell()
        return worker

    def _resolve(self, settings: Settings) -> Settings:
        """The settings with the name of a model in place of `auto`; with a chat server's in place of one of ours."""
        if settings.engine.chats:
            self._fallback_advice = None
            return replace(settings, model=settings.engine.served_model or "chat")
        self._fallback_advice = None if settings.engine.url else fallback_advice(settings.model)
        return replace(settings, model=resolved(settings.model))

    def _note(self, message: str, invoked: bool, lasts: bool) -> None:
        warned, self._warned, self._trouble = self._warned, True, message if lasts else self._trouble
        for warn in self.warners if not (invoked or warned) else ():
            warn(message)
        self.tell()


def _model_settings(settings: Settings) -> tuple[object, ...]:
    """The settings that an open model depends on."""
    return settings.model, settings.device, settings.dtype, settings.threads, settings.engine


def _idle_seconds(settings: Settings) -> float | None:
    return 60 * settings.idle_minutes or None


_MESSAGES: dict[State, str] = {
    "paused": "Automatic suggestions are off: set dgls.inlineCompletion.enabled.",
    "resting": "The model is unloaded to free memory. The next suggestion loads it again.",
}


def _worth_telling(error: Exception) -> str:
    """What the user has to know of a failed request; empty if the next one may well succeed."""
    if isinstance(error, (NotEnoughMemory, BrokenCheckpoint, HolderSilent)):
        return str(error)
    if isinstance(error, EngineError):
        return ""
    return f"The model failed ({reason_of(error)}). Restart dgls; `dgls doctor` shows whether the model works."


def _advice(error: Exception | None) -> str:
    if isinstance(error, MAY_PASS):
        return f"{str(error).rstrip('.')}. Ask for a suggestion to try again."
    if isinstance(error, EngineError):
        return str(error)
    return f"The engine could not start ({error!r}). Run `dgls doctor` to see what is missing."
