"""One client's session: the only mutable state of the server.

Owns the settings, the engine's worker, the open documents, the requests in flight and the cache of suggestions.
It knows neither LSP's messages nor tensors. Everything here runs on the asyncio loop and never blocks it: files are
read on one thread of their own, and the worker's thread only ever posts a wake-up.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

from dgls.client import Client
from dgls.context.exclusion import Excluded
from dgls.context.surroundings import Source, Surroundings
from dgls.document import Change, Document
from dgls.region.cache import TypedThrough
from dgls.region.syntax import Syntax, parse
from dgls.rewrite.task import Task
from dgls.settings import Problem, Settings, merge, read_settings
from engine.errors import Cancelled, EngineError
from engine.profile import ModelInfo, Profile
from engine.types import CancelToken, Loading, Snippet
from engine.worker import EngineLike, Worker

OpenEngine = Callable[[Settings, Loading], EngineLike]
State = Literal["loading", "ready", "working", "paused", "failed"]
Purpose = Literal["completion", "action"]
"""What runs for a document: a suggestion at the cursor, a change that the user asked for. Neither ends the other."""
T = TypeVar("T")
READING_SECONDS = 0.1
"""How long a suggestion waits for the disk in all; what is read later serves the next one."""
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Status:
    """What a user may want to know; after a failure `message` says what to do. None: not known (yet).

    `memory` is what the model's weights take on the device, in bytes; `instructions`: does it take them?
    """

    state: State
    model: str
    device: str | None = None
    message: str = ""
    percent: int | None = None
    memory: int | None = None
    instructions: bool | None = None


@dataclass(slots=True)
class _Load:
    """How far it is, as its own thread has it; a load that was replaced goes on for itself."""

    percent: int | None = None


@dataclass(slots=True)
class Session:
    """`open_engine` is called on the engine thread, with the settings that a model was chosen by; it is to tell how far
    it is."""

    open_engine: OpenEngine
    client: Client = field(default_factory=Client)
    settings: Settings = field(default_factory=Settings)
    documents: dict[str, Document] = field(default_factory=dict)
    openings: Counter[str] = field(default_factory=Counter)
    suggested: dict[str, TypedThrough] = field(default_factory=dict)
    listeners: list[Callable[[Status], None]] = field(default_factory=list)
    _worker: Worker | None = None
    _surroundings: Surroundings | None = None
    _reading: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "dgls-reading"))
    _syntaxes: dict[str, Syntax] = field(default_factory=dict)
    _deleted_at: dict[str, int] = field(default_factory=dict)
    _in_flight: dict[tuple[str, Purpose], CancelToken] = field(default_factory=dict)
    _fruitless: dict[str, tuple[Document, set[Task]]] = field(default_factory=dict)
    _layers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _problems: tuple[Problem, ...] = ()
    _opened: bool = False
    _load: _Load = field(default_factory=_Load)
    _told: Status | None = None
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def worker(self) -> Worker:
        """The engine's worker; asking for it starts it."""
        if self._worker is None:
            self._start(replaced=None)
        assert self._worker is not None
        return self._worker

    @property
    def ready(self) -> bool:
        return self._worker is not None and self._worker.state == "ready"

    @property
    def info(self) -> ModelInfo | None:
        """The open model; None while there is none."""
        return self._worker.info if self._worker is not None else None

    async def model(self, cancel: CancelToken) -> ModelInfo:
        """Wait until the model is open; asking for it starts that. Raises the error of opening, and `Cancelled`."""
        while (info := self.worker.info) is None:
            if self.worker.error is not None:
                raise self.worker.error
            if cancel.cancelled:
                raise Cancelled("What the model was wanted for is over.")
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        return info

    def syntax(self, document: Document, offset: int) -> Syntax | None:
        """The tree around `offset`, from the last one of the document's URI where that helps; None without one."""
        syntax = parse(document, offset, self._syntaxes.get(document.uri))
        if syntax is not None:
            self._syntaxes[document.uri] = syntax
        return syntax

    async def excluded(self, uri: str, until: float) -> Excluded | None:
        """Why nothing is suggested unasked in an open document; None if it may be."""
        return await self._read(until, Excluded.UNDECIDED, self._around().excluded, uri)

    async def snippets(
        self, document: Document, above: str, below: str, profile: Profile, until: float
    ) -> tuple[Snippet, ...]:
        """What a model is shown of other files beside the text outside a region; nothing if the disk is slow."""
        wanted: dict[Source, str] = {
            "imports": self.settings.context.imports,
            "open files": self.settings.context.open_files,
        }
        chosen = ("on", "auto") if profile.prompt_format == "chat" else ("on",)
        sources = frozenset(source for source, setting in wanted.items() if setting in chosen)
        if not sources:
            return ()
        look, documents = self._around().snippets, dict(self.documents)
        return await self._read(until, (), look, document, above, below, documents, sources)

    async def _read(self, until: float, late: T, look: Callable[..., T], *asked: object) -> T:
        """What the reading thread finds; `late` if that takes too long. What it has not begun by then is dropped."""
        looking = asyncio.get_running_loop().run_in_executor(self._reading, look, *asked)
        try:
            return await asyncio.wait_for(looking, until - time.monotonic())
        except TimeoutError:
            return late

    def _around(self) -> Surroundings:
        found, chosen = self._surroundings, (self.client.folders, self.settings.exclude)
        if found is None or (found.folders, found.globs) != chosen:
            found = self._surroundings = Surroundings(*chosen)
            self._reading.submit(found.excluded, "")  # reads the rules before somebody waits for them
        return found

    def configure(
        self, layer: Literal["initialization", "configuration"], options: Mapping[str, Any]
    ) -> tuple[Problem, ...]:
        """Take one layer of options (the configuration lies over what came with initialization) into the settings.

        Returns what could not be used, unless the user was told just that before. A model that is open already is
        replaced when the settings choose another.
        """
        self._layers[layer] = options
        before, told = self.settings, self._problems
        self.settings, self._problems = read_settings(
            merge(self._layers.get("initialization", {}), self._layers.get("configuration", {}))
        )
        if self._worker is not None and _choice(before) != _choice(self.settings):
            self._start(replaced=self._worker)
        self._around()
        self.tell()
        return self._problems if self._problems != told else ()

    def open(self) -> None:
        """Load the model in the background, unless nothing is to be suggested before the user asks for it.

        From here on the listeners are told the status; before, the client may not be ready to hear of it.
        """
        self._opened = True
        if self._worker is None and self.settings.inline_completion.enabled:
            self._start(replaced=None)
        self.tell()

    def move(self, folders: tuple[str, ...]) -> None:
        """The client works in other workspace folders now."""
        self.client = replace(self.client, folders=folders)
        self._around()

    def supersede(self, uri: str, purpose: Purpose) -> None:
        """Cancel what runs for a document."""
        if (older := self._in_flight.pop((uri, purpose), None)) is not None:
            older.cancel()
            self.tell()

    @contextmanager
    def in_flight(self, uri: str, purpose: Purpose) -> Iterator[CancelToken]:
        """The one that may run for a document: an older one is cancelled by the token that it holds."""
        self.supersede(uri, purpose)
        token = self._in_flight[uri, purpose] = CancelToken()
        self.tell()
        try:
            yield token
        finally:
            token.cancel()  # whatever made it end, nothing may go on working for it
            if self._in_flight.get((uri, purpose)) is token:
                del self._in_flight[uri, purpose]
                self.tell()

    def note_fruitless(self, document: Document, task: Task) -> None:
        """The task would change nothing in this text: no use to offer it again."""
        noted, tasks = self._fruitless.get(document.uri, (document, set()))
        self._fruitless[document.uri] = (document, {task} if noted is not document else tasks | {task})

    def fruitless(self, document: Document) -> set[Task]:
        noted, tasks = self._fruitless.get(document.uri, (document, set()))
        return tasks if noted is document else set()

    def edit(self, uri: str, changes: Sequence[Change], version: int) -> None:
        """An open document changed; where a deletion was the last of `changes` is remembered until the next edit.

        A change that is being made for it would be one of a text that is no more.
        """
        self.supersede(uri, "action")
        document = self.documents[uri] = self.documents[uri].apply(changes, version, self.client.encoding)
        self._deleted_at.pop(uri, None)
        last = changes[-1] if changes else None
        if last is not None and last.start is not None and last.start != last.end and not last.text:
            self._deleted_at[uri] = document.offset(last.start, self.client.encoding)

    def deleted_at(self, uri: str, offset: int) -> bool:
        """Did the user just delete text here? Then they want less of it, not more."""
        return self._deleted_at.get(uri) == offset

    def forget(self, uri: str) -> None:
        """The document was closed: nothing about it is kept. What is opened there next may have any version again."""
        self.openings[uri] += 1
        memories: list[dict[str, Any]] = [self.documents, self.suggested, self._syntaxes, self._deleted_at]
        for kept in (*memories, self._fruitless):
            kept.pop(uri, None)
        for purpose in get_args(Purpose):
            self.supersede(uri, purpose)

    def status(self) -> Status:
        worker, model = self._worker, self.settings.model
        if worker is not None and worker.state == "failed":
            return Status("failed", model, message=_advice(worker.error))
        enabled = self.settings.inline_completion.enabled
        if worker.state == "loading" if worker is not None else enabled or self._in_flight:
            return Status("loading", model, message=f"Loading the model {model}.", percent=self._load.percent)
        info = worker.info if worker is not None else None
        state: State = "working" if self._in_flight else "ready" if enabled else "paused"
        said = "Automatic suggestions are off: set dgls.inlineCompletion.enabled." if state == "paused" else ""
        if info is None:
            return Status(state, model, message=said)
        takes = info.profile.takes_instructions
        return Status(state, info.name, info.device, said, memory=info.weight_bytes, instructions=takes)

    def tell(self) -> None:
        """Wake who waits for a change, and tell the listeners the status, if it is another one."""
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)
        status = self.status()
        if self._opened and status != self._told:
            self._told = status
            for listener in self.listeners:
                listener(status)

    def close(self, timeout: float) -> bool:
        """Cancel all work and close the engine; False if its thread did not end within `timeout` seconds."""
        for token in self._in_flight.values():
            token.cancel()
        self._reading.shutdown(wait=False, cancel_futures=True)
        return self._worker is None or self._worker.close(timeout)

    def _start(self, replaced: Worker | None) -> None:
        settings, loop = self.settings, asyncio.get_running_loop()

        def open_engine() -> EngineLike:
            if replaced is not None:  # its memory first: two models may not fit
                replaced.close(None)
            return self.open_engine(settings, loading)

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
        self._worker = Worker(open_engine, wake)
        self.tell()


def _choice(settings: Settings) -> tuple[str, str, str, int]:
    """What an open model depends on."""
    return settings.model, settings.device, settings.dtype, settings.threads


def _advice(error: Exception | None) -> str:
    if isinstance(error, EngineError):
        return str(error)
    return f"The engine could not start ({error!r}). Run `dgls doctor` to see what is missing."
