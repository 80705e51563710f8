"""Runs one action request: progress, drafts, version check, result.

A proposal belongs to one version of its document, from opening to closing: the work neither starts for another version
nor returns a result for one. A newer action on the document cancels the older one, because only one of two edits of the
same version could be applied. Typing cancels the action at once.
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
from dgls.server.actions.job import run_job
from dgls.server.actions.parameters import ActionRequest
from dgls.server.actions.progress import Progress
from dgls.server.actions.workspace_edit import Proposal, label_of, warning_of, workspace_edit
from dgls.server.session import Session
from dgls_engine.errors import Cancelled, EngineError
from dgls_engine.types import CancelToken, Step

logger = logging.getLogger(__name__)
T = TypeVar("T")


async def perform(
    server: LanguageServer,
    session: Session,
    requests: Sequence[ActionRequest],
    token: types.ProgressToken | None = None,
) -> list[Proposal]:
    """Returns the distinct proposals, at least one. `requests` has one entry for each candidate that the client wants.

    `token`: the client's progress token. Raises `StaleDocument`, `NothingToDo`, the engine's errors and `Cancelled`.
    """
    document = _current(session, requests[0])
    first = replace(requests[0], opening=session.memory(document.uri).opening)
    watch = _Watch(server, session, first, document, token, len(requests))
    proposals: list[Proposal] = []
    try:
        with session.in_flight(first.uri, "action") as cancel:
            for request in requests:
                watch.next_candidate()
                proposal = await _propose(session, request.task, document, cancel, watch)
                if cancel.cancelled:  # the engine may have ended before it saw the cancel
                    raise Cancelled("The action was cancelled.")
                replacements = proposal.replacements
                if replacements and replacements not in [other.replacements for other in proposals]:
                    proposals.append(proposal)
    except Cancelled:
        _current(session, first)  # raises StaleDocument if that is the reason
        raise
    except NothingToDo:
        _note_fruitless(session, document, first.task)
        raise
    finally:
        watch.end()
    _current(session, first)
    if not proposals:
        _note_fruitless(session, document, first.task)
        raise NothingToDo("the model would leave this as it is")
    return proposals


async def report_errors(server: LanguageServer, action: Coroutine[Any, Any, T]) -> T | None:
    """The action's result. If the action fails, a message tells the user why, and the result is None."""
    try:
        return await action
    except Cancelled:  # by a newer request or by the server's end: no message
        return None
    except NothingToDo as error:
        kind, reason = types.MessageType.Info, str(error)
    except StaleDocument as error:
        kind, reason = types.MessageType.Warning, str(error)
    except Exception as error:
        logger.error("Nothing changed: %s", error, exc_info=not isinstance(error, (EngineError, JsonRpcException)))
        kind, reason = types.MessageType.Error, str(error)
    server.window_show_message(types.ShowMessageParams(kind, f"dgls changed nothing: {reason}"))
    return None


async def apply(server: LanguageServer, session: Session, proposal: Proposal) -> bool:
    """Have the client apply the proposal. Raises `StaleDocument` if the client refuses."""
    params = types.ApplyWorkspaceEditParams(workspace_edit(proposal, session.client), proposal.label)
    answer = await server.workspace_apply_edit_async(params)
    if not answer.applied:
        reason = answer.failure_reason or "it gave no reason"
        raise StaleDocument(f"the editor did not make the edit ({reason})")
    warn(server, session, proposal)
    return True


def warn(server: LanguageServer, session: Session, proposal: Proposal) -> None:
    if (warning := warning_of(proposal, session.client)) is not None:
        server.window_show_message(types.ShowMessageParams(types.MessageType.Warning, warning))


def _current(session: Session, request: ActionRequest) -> Document:
    document = session.documents.get(request.uri)
    if document is None:
        raise StaleDocument("the document is not open any more; open it and ask again")
    if request.opening not in (None, session.memory(request.uri).opening):
        raise StaleDocument("the document was closed and opened again since this was asked for; ask again")
    if document.version != request.version:
        raise StaleDocument("the document has changed since this was asked for; ask again")
    return document


async def _propose(session: Session, task: Task, document: Document, cancel: CancelToken, watch: _Watch) -> Proposal:
    outcome, origins = await run_job(session, task, document, cancel, watch)
    return await asyncio.to_thread(_checked, task, outcome, origins)


def _checked(task: Task, outcome: Outcome, origins: list[Span]) -> Proposal:
    replacements = edit.checked_changes(outcome, edit.minimal_changes(outcome), origins)
    breaks, large = edit.breaks(outcome), edit.is_large(outcome)
    return Proposal(task, outcome.document, replacements, outcome.confidence, breaks, large)


def _note_fruitless(session: Session, document: Document, task: Task) -> None:
    if task.action is Action.FIX:
        session.note_fruitless(document, task)


class _Watch:
    """Shows one request's progress and drafts."""

    def __init__(
        self,
        server: LanguageServer,
        session: Session,
        request: ActionRequest,
        document: Document,
        token: types.ProgressToken | None,
        candidates: int,
    ) -> None:
        client, self._task = session.client, request.task
        self._candidates, self._candidate, self._passage = candidates, -1, 0
        self._progress = Progress(server, label_of(request.task.action), token, client.progress)
        self._drafts: Drafts | None = None
        if client.drafts:
            self._drafts = Drafts(server.protocol.notify, request.request, document, client.encoding)

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
        return partial(_send_draft, self._drafts, passage, self._candidate)

    def end(self) -> None:
        self._progress.end()
        if self._drafts is not None:
            self._drafts.end()

    def _percent(self, passage: Passage) -> int | None:
        """The share of the task's span before this passage. None for a task at a single place."""
        start, end = self._task.span.start, self._task.span.end
        if self._task.action in (Action.FILL, Action.FIX) or start == end or not passage.gaps:
            return None
        return min(99, max(0, 100 * (passage.gaps[0].origin.start - start) // (end - start)))


def _send_draft(drafts: Drafts, passage: Passage, candidate: int, step: Step) -> None:
    drafts.step(passage, step, candidate)
