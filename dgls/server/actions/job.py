"""Runs a task's job for a session: each passage goes to the engine, the outcome comes back.

Planning and checking a job may parse a whole file, so both happen on a thread of the loop's pool; the engine has a
thread of its own. The job itself knows of neither. It tells a `Watcher` what it is doing, and knows no LSP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from dgls.change.offer import start
from dgls.change.passage import Job, Outcome, Passage, Room
from dgls.change.task import Task
from dgls.code.document import Document, Span
from dgls.server.session import READING_SECONDS, Session
from dgls_engine.profile import Profile
from dgls_engine.types import CancelToken, Infill, InfillRequest, Limits, Step


class Watcher(Protocol):
    def began(self, passage: Passage) -> None:
        """The engine is asked for a passage, the first or the next."""

    def on_step(self, passage: Passage) -> Callable[[Step], None] | None:
        """Who is told of each step, on the engine thread; None where nobody wants to know."""


async def work(
    session: Session, task: Task, document: Document, cancel: CancelToken, watcher: Watcher
) -> tuple[Outcome, list[Span]]:
    """What becomes of the document, and the places of it that were to be filled: nothing else may change.

    Raises `NothingToDo`, the engine's errors and `Cancelled`.
    """
    info = await session.host.model(cancel)
    room = Room.of(info.profile, session.host.start().count)
    job = start(task, document, room, session.syntax(document, task.span.start))
    found = await asyncio.to_thread(_advance, job, None)
    origins: list[Span] = []
    while isinstance(found, Passage):
        origins += (gap.origin for gap in found.gaps)
        watcher.began(found)
        request = await _request(session, found, info.profile, task.seed)
        key = (document.uri, "action")
        infill = await session.host.infill(request, cancel, key, watcher.on_step(found), invoked=True)
        found = await asyncio.to_thread(_advance, job, infill)
    return found, origins


def _advance(job: Job, infill: Infill | None) -> Passage | Outcome:
    """A future can't hold the StopIteration that a generator ends with."""
    try:
        return next(job) if infill is None else job.send(infill)
    except StopIteration as over:
        outcome: Outcome = over.value
        return outcome


async def _request(session: Session, passage: Passage, profile: Profile, seed: int) -> InfillRequest:
    document, text = passage.document, passage.document.text
    above, below = text[: passage.canvas.start], text[passage.canvas.end :]
    until = time.monotonic() + READING_SECONDS
    snippets = await session.snippets(document, above, below, session.settings.context, profile, until)
    return passage.request(session.client.shown_path(document.uri), Limits(), seed, snippets)
