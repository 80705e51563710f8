"""From what was asked for to a change that may be made, with all that the user sees of it meanwhile.

A change belongs to one version of its document, from opening to closing: neither is work begun for another one, nor is
its result handed out. A newer change of the document takes the place of an older one: it is what the user wants now,
and of two that speak of one version only one could be made. What is typed ends the work at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from dgls.change import edit
from dgls.change.passage import Outcome, Passage
from dgls.change.task import Action, Task
from dgls.code.document import Document, Span
from dgls.errors import NothingToDo, StaleDocument
from dgls.server.actions.drafts import Drafts
from dgls.server.actions.job import work
from dgls.server.actions.parameters import Asked
from dgls.server.actions.progress import Progress
from dgls.server.actions.workspace_edit import Change, label_of, warning_of, workspace_edit
from dgls.server.session import Session
from dgls_engine.errors import Cancelled, EngineError
from dgls_engine.types import CancelToken, Step

logger = logging.getLogger(__name__)
T = TypeVar("T")


async def perform(
    server: LanguageServer, session: Session, asked: Sequence[Asked], token: types.ProgressToken | None = None
) -> list[Change]:
    """The different changes, at least one, that the candidates of one request lead to.

    `token` is the client's, for progress. Raises `StaleDocument`, `NothingToDo`, the engine's errors and `Cancelled`.
    """
    document = _current(session, asked[0])
    first = replace(asked[0], opening=session.openings[document.uri])
    watch = _Watch(server, session, first, document, token, len(asked))
    changes: list[Change] = []
    try:
        with session.in_flight(first.uri, "action") as cancel:
            for each in asked:
                watch.next_candidate()
                change = await _change(session, each.task, document, cancel, watch)
                if cancel.cancelled:  # too late for the engine to notice
                    raise Cancelled("what this was wanted for is over")
                if change.replacements and change.replacements not in [other.replacements for other in changes]:
                    changes.append(change)
    except Cancelled:
        _current(session, first)  # if that is the reason, say so
        raise
    except NothingToDo:
        _note(session, document, first.task)
        raise
    finally:
        watch.end()
    _current(session, first)
    if not changes:
        _note(session, document, first.task)
        raise NothingToDo("the model would leave this as it is")
    return changes


async def tell(server: LanguageServer, doing: Coroutine[Any, Any, T]) -> T | None:
    """What `doing` returns; None where it came to nothing, and then the user was told why in one line."""
    try:
        return await doing
    except Cancelled:  # something newer took its place, or the server is about to end
        return None
    except NothingToDo as error:
        kind, why = types.MessageType.Info, str(error)
    except StaleDocument as error:
        kind, why = types.MessageType.Warning, str(error)
    except Exception as error:
        logger.error("Nothing changed: %s", error, exc_info=not isinstance(error, (EngineError, JsonRpcException)))
        kind, why = types.MessageType.Error, str(error)
    server.window_show_message(types.ShowMessageParams(kind, f"dgls changed nothing: {why}"))
    return None


async def apply(server: LanguageServer, session: Session, change: Change) -> bool:
    """Have the client make the change; what it says against that is shown."""
    params = types.ApplyWorkspaceEditParams(workspace_edit(change, session.client), change.label)
    answer = await server.workspace_apply_edit_async(params)
    if not answer.applied:
        why = answer.failure_reason or "it gave no reason"
        raise StaleDocument(f"the editor did not make the edit ({why})")
    warn(server, session, change)
    return True


def warn(server: LanguageServer, session: Session, change: Change) -> None:
    if (said := warning_of(change, session.client)) is not None:
        server.window_show_message(types.ShowMessageParams(types.MessageType.Warning, said))


def _current(session: Session, asked: Asked) -> Document:
    document = session.documents.get(asked.uri)
    if document is None:
        raise StaleDocument("the document is not open any more; open it and ask again")
    if asked.opening not in (None, session.openings[asked.uri]):
        raise StaleDocument("the document was closed and opened again since this was asked for; ask again")
    if document.version != asked.version:
        raise StaleDocument("the document has changed since this was asked for; ask again")
    return document


async def _change(session: Session, task: Task, document: Document, cancel: CancelToken, watch: _Watch) -> Change:
    outcome, origins = await work(session, task, document, cancel, watch)
    return await asyncio.to_thread(_checked, task, outcome, origins)


def _checked(task: Task, outcome: Outcome, origins: list[Span]) -> Change:
    replacements = edit.checked(outcome, edit.minimal(outcome), origins)
    breaks, large = edit.breaks(outcome), edit.is_large(outcome)
    return Change(task, outcome.document, replacements, outcome.confidence, breaks, large)


def _note(session: Session, document: Document, task: Task) -> None:
    if task.action is Action.FIX:
        session.note_fruitless(document, task)


class _Watch:
    """Shows one request's progress and drafts."""

    def __init__(
        self,
        server: LanguageServer,
        session: Session,
        asked: Asked,
        document: Document,
        token: types.ProgressToken | None,
        candidates: int,
    ) -> None:
        client, self._task = session.client, asked.task
        self._candidates, self._candidate, self._passage = candidates, -1, 0
        self._progress = Progress(server, label_of(asked.task.action), token, client.progress)
        self._drafts: Drafts | None = None
        if client.drafts:
            self._drafts = Drafts(server.protocol.notify, asked.request, document, client.encoding)

    def next_candidate(self) -> None:
        self._candidate, self._passage = self._candidate + 1, 0

    def began(self, passage: Passage) -> None:
        self._passage += passage.attempt == 0
        parts = [f"candidate {self._candidate + 1} of {self._candidates}"] if self._candidates > 1 else []
        parts += [f"passage {self._passage}"] if self._passage > 1 else []
        percent = self._percent(passage) if self._candidates == 1 else None
        self._progress.report(percent, ", ".join(parts))

    def on_step(self, passage: Passage) -> Callable[[Step], None] | None:
        if self._drafts is None:
            return None
        return partial(_passed_on, self._drafts, passage, self._candidate)

    def end(self) -> None:
        self._progress.end()
        if self._drafts is not None:
            self._drafts.end()

    def _percent(self, passage: Passage) -> int | None:
        """How much of the text to be looked at lies behind; of a single place nothing is known."""
        start, end = self._task.span.start, self._task.span.end
        if self._task.action in (Action.FILL, Action.FIX) or start == end or not passage.gaps:
            return None
        return min(99, max(0, 100 * (passage.gaps[0].origin.start - start) // (end - start)))


def _passed_on(drafts: Drafts, passage: Passage, candidate: int, step: Step) -> None:
    drafts.step(passage, step, candidate)
