"""One client's session: the only mutable state of the server.

Owns the settings, the engine's host, the open documents, the requests in flight and the cache of suggestions.
It knows neither LSP's messages nor tensors. Everything here runs on the asyncio loop and never blocks it: files are
read on one thread of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

from dgls.change.task import Task
from dgls.code.document import Change, Document
from dgls.code.syntax import Syntax, parse
from dgls.context.exclusion import Excluded
from dgls.context.surroundings import Source, Surroundings
from dgls.server.capabilities import Client
from dgls.server.host import Host, OpenEngine, Status
from dgls.server.settings import ContextSettings, Problem, Settings, merge, read_settings
from dgls.suggest.cache import TypedThrough
from dgls.suggest.draft import Drafting
from dgls_engine.profile import Profile
from dgls_engine.types import CancelToken, Snippet

Purpose = Literal["completion", "action"]
"""What runs for a document: a suggestion at the cursor, a change that the user asked for. Neither ends the other."""
T = TypeVar("T")
READING_SECONDS = 0.1
"""How long a suggestion waits for the disk in all; what is read later serves the next one."""


@dataclass(slots=True)
class Session:
    open_engine: InitVar[OpenEngine]
    client: Client = field(default_factory=Client)
    settings: Settings = field(default_factory=Settings)
    documents: dict[str, Document] = field(default_factory=dict)
    openings: Counter[str] = field(default_factory=Counter)
    suggested: dict[str, TypedThrough] = field(default_factory=dict)
    drafting: dict[str, Drafting] = field(default_factory=dict)
    listeners: list[Callable[[Status], None]] = field(default_factory=list)
    host: Host = field(init=False)
    _surroundings: Surroundings | None = None
    _reading: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "dgls-reading"))
    _syntaxes: dict[str, Syntax] = field(default_factory=dict)
    _deleted_at: dict[str, int] = field(default_factory=dict)
    _in_flight: dict[tuple[str, Purpose], CancelToken] = field(default_factory=dict)
    _fruitless: dict[str, tuple[Document, set[Task]]] = field(default_factory=dict)
    _layers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _problems: tuple[Problem, ...] = ()
    _opened: bool = False
    _told: Status | None = None

    def __post_init__(self, open_engine: OpenEngine) -> None:
        self.host = Host(open_engine, self._tell)

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
        self, document: Document, above: str, below: str, context: ContextSettings, profile: Profile, until: float
    ) -> tuple[Snippet, ...]:
        """What a model is shown of other files beside the text outside a region; nothing if the disk is slow."""
        wanted: dict[Source, str] = {
            "imports": context.imports,
            "open files": context.open_files,
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
        told = self._problems
        self.settings, self._problems = read_settings(
            merge(self._layers.get("initialization", {}), self._layers.get("configuration", {}))
        )
        self.host.configure(self.settings)
        self._around()
        self.tell()
        return self._problems if self._problems != told else ()

    def open(self) -> None:
        """Load the model in the background, unless nothing is to be suggested before the user asks for it.

        From here on the listeners are told the status; before, the client may not be ready to hear of it.
        """
        self._opened = True
        if self.settings.inline_completion.enabled:
            self.host.start()
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
        for kept in (*memories, self.drafting, self._fruitless):
            kept.pop(uri, None)
        for purpose in get_args(Purpose):
            self.supersede(uri, purpose)

    def status(self) -> Status:
        return self.host.status(working=bool(self._in_flight))

    def tell(self) -> None:
        """Wake who waits for a change of the model, and tell the listeners the status, if it is another one."""
        self.host.tell()

    def _tell(self) -> None:
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
        return self.host.close(timeout)
