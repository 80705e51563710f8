"""Runs a task's job for a session: sends each passage to the engine and returns the outcome.

A job may parse a whole file to plan and to check, so it runs on a thread of the loop's pool. The job itself knows
neither threads nor the engine. Knows no LSP; a `Watcher` follows the progress.
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
from dgls.server.settings import ContextSettings
from dgls_engine.profile import Profile
from dgls_engine.types import CancelToken, Infill, InfillRequest, Limits, Step


class Watcher(Protocol):
    def began(self, passage: Passage) -> None:
        """The passage goes to the engine now."""

    def on_step(self, passage: Passage) -> Callable[[Step], None] | None:
        """Step callback for the engine thread, or None."""


async def run_job(
    session: Session, task: Task, document: Document, cancel: CancelToken, watcher: Watcher
) -> tuple[Outcome, list[Span]]:
    """Returns the outcome, and the document's spans that the action may change.

    Raises `NothingToDo`, the engine's errors and `Cancelled`.
    """
    context = session.settings.context  # before the first await, so that all passages get the same
    profile = (await session.host.model(cancel)).profile
    room = Room.of(profile, session.host.start().count)
    job = start(task, document, room, session.syntax(document, task.span.start))
    key = (document.uri, "action")
    origins: list[Span] = []
    result = await asyncio.to_thread(_advance, job, None)
    while isinstance(result, Passage):
        origins += (gap.origin for gap in result.gaps)
        watcher.began(result)
        request = await _request(session, result, context, profile, task.seed)
        infill = await session.host.infill(request, cancel, key, watcher.on_step(result), invoked=True)
        result = await asyncio.to_thread(_advance, job, infill)
    return result, origins


def _advance(job: Job, infill: Infill | None) -> Passage | Outcome:
    """Run the job up to its next passage or its outcome. Returns the outcome, because a future cannot hold
    StopIteration."""
    try:
        return next(job) if infill is None else job.send(infill)
    except StopIteration as stopped:
        outcome: Outcome = stopped.value
        return outcome


async def _request(
    session: Session, passage: Passage, context: ContextSettings, profile: Profile, seed: int
) -> InfillRequest:
    document, text = passage.document, passage.document.text
    above, below = text[: passage.canvas.start], text[passage.canvas.end :]
    until = time.monotonic() + READING_SECONDS
    snippets = await session.snippets(document, above, below, context, profile, until)
    return passage.request(session.shown_path(document.uri), Limits(), seed, snippets)
