"""One client's session: the only mutable state of the server.

Owns the settings, the engine's host, the open documents and notebooks, the requests in flight and the cache of
suggestions.
Knows neither LSP's messages nor tensors. Everything here runs on the asyncio loop and never blocks it: files are read
on another thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import InitVar, dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, Literal, TypeVar, get_args

from dgls.change.task import Task
from dgls.code.document import Change, Document
from dgls.code.notebook import REACH, Neighbour, View, notebook_of, view_of
from dgls.code.syntax import Syntax, parse
from dgls.context.exclusion import Excluded
from dgls.context.surroundings import Source, Surroundings
from dgls.next_edit.edit import Stretch
from dgls.server.acceptance import Writer, follow, note
from dgls.server.capabilities import Client
from dgls.server.host import Host, OpenEngine, Share, Status, alone
from dgls.server.memory import Memory
from dgls.server.next_edit.edited import Edited, following
from dgls.server.settings import ContextSettings, Problem, Settings, Unknown, merge, read_settings
from dgls.suggest.suggestion import Suggestion
from dgls_engine.profile import Profile
from dgls_engine.types import CancelToken, Snippet
from dgls_engine.weights.accept_log import Outcome

Purpose = Literal["completion", "action", "next edit"]
"""Each document has at most one running request per purpose. Requests of different purposes do not cancel each
other, except that all others, and all edits, interrupt the search for a next edit."""
T = TypeVar("T")
READING_SECONDS = 0.1
"""How long a suggestion waits for the disk in total. Files that are read later serve the next suggestion."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a notebook; if it is not `code`, it is prose. Its text is the document with its URI."""

    uri: str
    code: bool


@dataclass(slots=True)
class Session:
    open_engine: InitVar[OpenEngine]
    share: InitVar[Share] = field(default=alone, kw_only=True)
    client: Client = field(default_factory=Client)
    settings: Settings = field(default_factory=Settings)
    documents: dict[str, Document] = field(default_factory=dict)
    notebooks: dict[str, tuple[Cell, ...]] = field(default_factory=dict)
    out_of_step: dict[str, Document] = field(default_factory=dict)
    edited: Edited | None = None
    """The last edit, in whatever document it was."""
    serving: bool = False
    listeners: list[Callable[[Status], None]] = field(default_factory=list)
    host: Host = field(init=False)
    _surroundings: Surroundings | None = None
    _reading: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "dgls-reading"))
    _warming: Future[object] = field(default_factory=Future)
    _outcomes: Writer = field(default_factory=Writer)
    _memories: dict[str, Memory] = field(default_factory=dict)
    _openings: Iterator[int] = field(default_factory=count)
    _in_flight: dict[tuple[str, Purpose], CancelToken] = field(default_factory=dict)
    _layers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _problems: tuple[Problem | Unknown, ...] = ()
    _lost: bool = False
    _last_status: Status | None = None

    def __post_init__(self, open_engine: OpenEngine, share: Share) -> None:
        self.host = Host(open_engine, self._tell, share)

    def memory(self, uri: str) -> Memory:
        """What is remembered about a document. Nothing is kept of one that is not open."""
        if uri not in self.documents:
            return Memory(next(self._openings))
        if uri not in self._memories:
            self._memories[uri] = Memory(next(self._openings))
        return self._memories[uri]

    def syntax(self, document: Document, offset: int) -> Syntax | None:
        """The tree around `offset`, parsed incrementally from the document's last one. None without a grammar."""
        memory = self.memory(document.uri)
        syntax = parse(document, offset, memory.syntax)
        memory.syntax = syntax or memory.syntax
        return syntax

    def view(self, document: Document) -> View:
        """What the planner reads for a document, which may be newer than the session's own: a cell among the cells of
        its notebook, any other document alone."""
        return self.viewing(document.uri)(document)

    def viewing(self, uri: str, reach: int = REACH) -> Callable[[Document], View]:
        """Makes the view of any version of a document, on any thread, with the other cells as they are now."""
        cells = self.notebooks.get(self.notebook(uri) or "", ())
        at = next((index for index, cell in enumerate(cells) if cell.uri == uri and cell.code), None)
        if at is not None:
            above, below = self._neighbours(cells[:at]), self._neighbours(cells[at + 1 :])
            return partial(view_of, above=above, below=below, reach=reach)
        alone = notebook_of(uri) is not None or uri.endswith(".ipynb")  # some editors show a notebook as a script
        return view_of if alone else View.of_file

    def _neighbours(self, cells: Sequence[Cell]) -> list[Neighbour]:
        documents = [self.documents[cell.uri] for cell in cells if cell.code and cell.uri in self.documents]
        return [self._neighbour(document) for document in documents]

    def _neighbour(self, document: Document) -> Neighbour:
        memory = self.memory(document.uri)
        if memory.neighbour is None or memory.neighbour.document is not document:
            memory.neighbour = Neighbour(document)
        return memory.neighbour

    def shown_path(self, uri: str) -> str:
        """The path that a model is shown for a document."""
        return self.client.shown_path(self._file(uri))

    def _file(self, uri: str) -> str:
        """The URI of the file that a document is in: for a cell, that of its notebook."""
        return self.notebook(uri) or notebook_of(uri) or uri

    def notebook(self, uri: str) -> str | None:
        """The open notebook that has a cell with this URI."""
        holders = (notebook for notebook, cells in self.notebooks.items() if any(cell.uri == uri for cell in cells))
        return next(holders, None)

    async def excluded(self, uri: str, until: float) -> Excluded | None:
        """Why an open document gets no automatic suggestions, or None. `Excluded.UNDECIDED` if not known by `until`."""
        return await self._read(until, Excluded.UNDECIDED, self._current_surroundings().excluded, self._file(uri))

    async def snippets(
        self, document: Document, above: str, below: str, context: ContextSettings, profile: Profile, until: float
    ) -> tuple[Snippet, ...]:
        """Code of other files to show the model; empty if it is not read by `until`. `above` and `below` are the
        document's text outside the region."""
        setting_of: dict[Source, str] = {
            "imports": context.imports,
            "open files": context.open_files,
        }
        enabled = ("on", "auto") if profile.prompt_format == "chat" else ("on",)
        sources = frozenset(source for source, setting in setting_of.items() if setting in enabled)
        if not sources:
            return ()
        cells = {cell.uri for notebook in self.notebooks.values() for cell in notebook}
        documents = {uri: other for uri, other in self.documents.items() if uri not in cells}
        search, document = self._current_surroundings().snippets, replace(document, uri=self._file(document.uri))
        return await self._read(until, (), search, document, above, below, documents, sources)

    async def _read(self, until: float, late: T, function: Callable[..., T], *arguments: object) -> T:
        """Call the function on the reading thread and return its result, or `late` if there is none by the time
        `until`. A call that has not begun by then is dropped."""
        reading = asyncio.get_running_loop().run_in_executor(self._reading, function, *arguments)
        try:
            return await asyncio.wait_for(reading, until - time.monotonic())
        except TimeoutError:
            return late

    def _current_surroundings(self) -> Surroundings:
        """The surroundings under the newest exclusions. They apply even to a request that began before they were
        set."""
        surroundings, current = self._surroundings, (self.client.folders, self.settings.exclude)
        if surroundings is None or (surroundings.folders, surroundings.globs) != current:
            surroundings = self._surroundings = Surroundings(*current)
            self._warming.cancel()  # of the surroundings before, if it has not begun
            self._warming = self._reading.submit(surroundings.excluded, "")  # before a request waits for the rules
        return surroundings

    def configure(
        self, layer: Literal["initialization", "configuration"], options: Mapping[str, Any]
    ) -> tuple[Problem | Unknown, ...]:
        """Set one layer of options; the configuration overrides the initialization options.

        Returns the unusable values and unknown names, unless they are the same as last time. Replaces an open model if
        the settings choose another one.
        """
        self._layers[layer] = options
        previous = self._problems
        self.settings, self._problems = read_settings(
            merge(self._layers.get("initialization", {}), self._layers.get("configuration", {}))
        )
        self.host.configure(self.settings)
        self._current_surroundings()
        self.tell()
        return self._problems if self._problems != previous else ()

    def open(self) -> None:
        """Load the model in the background if automatic suggestions are on.

        From now on listeners receive the status. Before this call the client is not ready for it.
        """
        self.serving = True
        if self.settings.inline_completion.enabled:
            self.host.start()
        self.tell()

    def set_folders(self, folders: tuple[str, ...]) -> None:
        """Set the client's workspace folders."""
        self.client = replace(self.client, folders=folders)
        self._current_surroundings()

    def supersede(self, uri: str, purpose: Purpose) -> None:
        """Cancel the document's running request of this purpose, if there is one."""
        if (older := self._in_flight.pop((uri, purpose), None)) is not None:
            older.cancel()
            self.tell()

    @contextmanager
    def in_flight(self, uri: str, purpose: Purpose) -> Iterator[CancelToken]:
        """Register a request and its cancel token. Cancels the document's older request of the same purpose."""
        self.supersede(uri, purpose)
        if purpose != "next edit":
            self._end_next_edits()
        token = self._in_flight[uri, purpose] = CancelToken()
        self.tell()
        try:
            yield token
        finally:
            token.cancel()  # however the request ended, stop the engine's work for it
            if self._in_flight.get((uri, purpose)) is token:
                del self._in_flight[uri, purpose]
                self.tell()

    def note_fruitless(self, document: Document, task: Task) -> None:
        """Note that the task changed nothing in this text, so that it is not offered again."""
        self.memory(document.uri).fruitless = (document, self.fruitless(document) | {task})

    def fruitless(self, document: Document) -> frozenset[Task]:
        noted = self.memory(document.uri).fruitless
        return noted[1] if noted is not None and noted[0] is document else frozenset()

    def set_cells(self, notebook: str, cells: tuple[Cell, ...]) -> None:
        """The notebook has these cells now. The others are closed."""
        gone = {cell.uri for cell in self.notebooks.get(notebook, ())} - {cell.uri for cell in cells}
        for uri in gone:
            self.forget(uri)
        self.notebooks[notebook] = cells

    def close_notebook(self, notebook: str) -> None:
        self.set_cells(notebook, ())
        del self.notebooks[notebook]

    def lose(self, uri: str | None) -> bool:
        """Take a document or notebook for closed because a change of it is lost; None: any open one may have had that
        change. Returns whether the user has to be told, which is once."""
        first = not self._lost
        for notebook in [uri] if uri in self.notebooks else list(self.notebooks) if uri is None else []:
            self.close_notebook(notebook)
            self._lost = True
        for each in [uri] if uri in self.documents else list(self.documents) if uri is None else []:
            document = self.documents[each]
            self.forget(each)
            self.out_of_step[each] = document
            self._lost = True
        return first and self._lost

    def edit(self, uri: str, changes: Sequence[Change], version: int | None) -> None:
        """Apply changes to an open document; None: the client sent no version. If the last change deleted text, its
        place is remembered until the next edit.

        Cancels a running action, because it was planned on stale text.
        """
        self.supersede(uri, "action")
        self._end_next_edits()
        unchanged = before = self.documents[uri]
        after = before.apply((), before.version + 1 if version is None else version, self.client.encoding)
        stretch: Stretch | None = None
        for change in changes:
            before, after = after, after.apply([change], after.version, self.client.encoding)
            replaced = before.replaced(change, self.client.encoding)
            stretch = Stretch.after(stretch, replaced, len(change.text))
        self.documents[uri] = after
        memory = self.memory(uri)
        memory.deleted_at = self._place_of_deletion(before, changes[-1]) if changes else None
        follow(memory, after, self._log)
        if stretch is not None:
            self.edited = following(self.edited, unchanged, after, stretch)

    def running(self) -> set[Purpose]:
        """What requests that have not ended are for, of any document."""
        return {purpose for _, purpose in self._in_flight}

    def _end_next_edits(self) -> None:
        for uri, purpose in list(self._in_flight):
            if purpose == "next edit":
                self.supersede(uri, purpose)

    def _place_of_deletion(self, before: Document, change: Change) -> int | None:
        """Where the change deletes text. Some clients undo by a replacement with the start of what stood there."""
        if change.start is None or change.end is None:
            return None
        start, end = (before.offset(place, self.client.encoding) for place in (change.start, change.end))
        start, end = min(start, end), max(start, end)
        shorter = len(change.text) < end - start and before.text.startswith(change.text, start)
        return start + len(change.text) if shorter else None

    def note_shown(self, document: Document, suggestion: Suggestion) -> None:
        """An automatic suggestion is shown in this text. The user may want to know how many such are taken."""
        if self.settings.inline_completion.accept_log and (model := self.host.local_model) is not None:
            note(self.memory(document.uri), document, suggestion, model, self._log)

    def _log(self, model: str, outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the session is closed
            self._reading.submit(self._outcomes.write, model, outcome)

    def deleted_at(self, uri: str, offset: int) -> bool:
        """Whether the last edit deleted text here. Then the user wants less text, not more."""
        return self.memory(uri).deleted_at == offset

    def forget(self, uri: str) -> None:
        """Drop everything about a closed document. If it is opened again, its version may start at any number."""
        self.documents.pop(uri, None)
        self.out_of_step.pop(uri, None)
        if (memory := self._memories.pop(uri, None)) is not None:
            follow(memory, None, self._log)
        if self.edited is not None and self.edited.concerns(uri):
            self.edited = None
        for purpose in get_args(Purpose):
            self.supersede(uri, purpose)

    def status(self) -> Status:
        return self.host.status(working=bool(self._in_flight))

    def tell(self) -> None:
        """Wake the requests that wait for the model, and send listeners the status if it changed."""
        self.host.tell()

    def _tell(self) -> None:
        status = self.status()
        if self.serving and status != self._last_status:
            self._last_status = status
            for listener in self.listeners:
                listener(status)

    def close(self, timeout: float) -> bool:
        """Cancel all requests and close the engine. False if the engine thread did not end within `timeout` seconds."""
        self.serving = False
        for token in self._in_flight.values():
            token.cancel()
        self._reading.shutdown(wait=False, cancel_futures=True)
        return self.host.close(timeout)
