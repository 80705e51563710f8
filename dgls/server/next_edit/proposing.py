"""Answers a request for the next edit: which edit, which places, which of them the model agrees to.

An edit that is none, a model that cannot score, and a document that changes meanwhile lead to no proposal, with a
reason for users who asked. Runs on the asyncio loop; trees are read on another thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from uuid import uuid4

from dgls.code.document import Document
from dgls.code.notebook import View, foreign_language
from dgls.next_edit.cells import places_in_view
from dgls.next_edit.edit import Edit
from dgls.next_edit.place import Place
from dgls.next_edit.places import LONGEST
from dgls.next_edit.search import search
from dgls.server.next_edit.edited import Edited, Proposal
from dgls.server.next_edit.parameters import Asking
from dgls.server.session import Session
from dgls_engine.errors import Cancelled, EngineError
from dgls_engine.types import CancelToken, Infill, InfillRequest, Score

logger = logging.getLogger(__name__)

Outcome = Proposal | str
"""A proposal, or why there is none."""

EXCLUSION_SECONDS = 5.0
"""How long the search waits to know whether a file is excluded. Nobody waits for a next edit, so it is long."""

PATIENCE_SECONDS = 10.0
"""How long a search that a suggestion or an action interrupted may begin again."""

_LOOK_SECONDS = 0.02

CHANGED = "the document has changed; ask again"
NO_EDIT = "there is no small edit that could have a next one"
NOTHING = "the last edit concerns no other place"
DISAGREED = "the model does not agree to a change of the places that the last edit concerns"
NO_SCORES = "the model runs on a server, which scores no texts; choose one that runs on this machine (dgls.model)"


async def propose(session: Session, asking: Asking) -> Outcome:
    """Errors are logged, and their text is the reason."""
    document = session.documents.get(asking.textDocument.uri)
    if document is None or asking.textDocument.version not in (None, document.version):
        return CHANGED
    if not asking.invoked and not (
        session.settings.next_edit and session.host.ready and session.settings.suggests_in(document.language)
    ):
        return "next edits are off (dgls.nextEdit)"
    until = time.monotonic() + PATIENCE_SECONDS
    try:
        while (outcome := await _tried(session, document, asking)) is CHANGED:
            if not await _idle_again(session, document, until):
                break
        return outcome
    except Exception as error:
        logger.error("No next edit: %s", error, exc_info=not isinstance(error, EngineError))
        return str(error)


async def _tried(session: Session, document: Document, asking: Asking) -> Outcome:
    """The outcome is `CHANGED` if something else came first."""
    try:
        with session.in_flight(document.uri, "next edit") as cancel:
            return await _proposed(session, document, asking, cancel)
    except Cancelled:
        return CHANGED


async def _idle_again(session: Session, document: Document, until: float) -> bool:
    """Wait until the suggestion or action that came first has ended. False if the search must not begin again: the
    document changed, a newer request searches, or it takes too long."""
    while session.documents.get(document.uri) is document and time.monotonic() < until:
        running = session.running()
        if "next edit" in running:
            return False
        if not running:
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def places_now(session: Session, asking: Asking) -> list[Place]:
    """All places that the last edit concerns and that the user has not refused, nearest first."""
    document, edited = session.documents.get(asking.textDocument.uri), session.edited
    edit = _edit(session, edited)
    if document is None or edited is None or edit is None:
        return []
    at = document.uri, document.offset(asking.position, session.client.encoding)
    others = [partial(_viewing(session, each), each) for each in await _readable(session, edit.after)]
    found = await asyncio.to_thread(places_in_view, edit, _viewing(session, edit.after), others, at)
    return [place for place in found if Proposal("", place).refusal not in edited.refused]


async def _proposed(session: Session, document: Document, asking: Asking, cancel: CancelToken) -> Outcome:
    edited = session.edited
    edit = _edit(session, edited)
    if edited is None or edit is None:
        return NO_EDIT
    if edited.proposal is not None and _stands(session, edited.proposal.place):
        return edited.proposal
    info = await session.host.model(cancel)
    if not info.scores:
        return NO_SCORES
    if not asking.invoked and await session.excluded(edit.after.uri, time.monotonic() + EXCLUSION_SECONDS) is not None:
        return "the file is excluded"
    found = await places_now(session, asking)
    if not found:
        return NOTHING
    place = await _chosen(session, document, edit, found, cancel)
    if place is None:
        return DISAGREED
    if cancel.cancelled or session.edited is not edited or not _stands(session, place):
        return CHANGED
    proposal = Proposal(str(uuid4()), place)
    session.edited = replace(edited, proposal=proposal)
    return proposal


async def _chosen(
    session: Session, document: Document, edit: Edit, found: Sequence[Place], cancel: CancelToken
) -> Place | None:
    """The place that the model agrees to. Each question is a request of its own, so that others come in between."""
    asking, key = search(edit, found, session.shown_path(edit.after.uri)), (document.uri, "next edit")
    answer: Sequence[Score] | Infill | None = None
    try:
        while True:
            request = next(asking) if answer is None else asking.send(answer)
            if cancel.cancelled:
                raise Cancelled("A newer request replaced this one.")
            if isinstance(request, InfillRequest):
                answer = await session.host.infill(request, cancel, key, invoked=False)
            else:
                answer = await session.host.scores(request, cancel, key)
    except StopIteration as over:
        place: Place | None = over.value
        return place


async def _readable(session: Session, document: Document) -> list[Document]:
    """The other open files in its language that may import it and that a model may see; one cell for each notebook."""
    if session.notebook(document.uri) is not None:
        return []
    until = time.monotonic() + EXCLUSION_SECONDS
    files: dict[str, Document] = {}
    for each in session.documents.values():
        if each.language == document.language and foreign_language(each) is None:
            files.setdefault(session.notebook(each.uri) or each.uri, each)
    files.pop(document.uri, None)
    return [each for each in files.values() if await session.excluded(each.uri, until) is None]


def _viewing(session: Session, document: Document) -> Callable[[Document], View]:
    return session.viewing(document.uri, LONGEST)


def _edit(session: Session, edited: Edited | None) -> Edit | None:
    document = session.documents.get(edited.base.uri) if edited is not None else None
    return edited.edit(document) if edited is not None and document is not None else None


def _stands(session: Session, place: Place) -> bool:
    """Whether the place's document is as it was when the place was found."""
    now = session.documents.get(place.document.uri)
    return now is not None and now.text == place.document.text
