"""A change as the client takes it, and that none is handed out once its time is over."""

from __future__ import annotations

from typing import Any

import pytest
from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.change.passage import Outcome, Replacement
from dgls.change.task import Action, Task
from dgls.code.document import Document, PositionEncoding, Span
from dgls.errors import NothingToDo, StaleDocument
from dgls.server.actions import perform as performing
from dgls.server.actions.parameters import Asked
from dgls.server.actions.workspace_edit import Change, warning_of, workspace_edit
from dgls.server.capabilities import Client
from dgls.server.session import Session
from dgls_engine.errors import Cancelled
from tests.server.test_session import never

DOCUMENT = Document("file:///a.py", 3, "python", "a = '\U0001f600' + b\r\nc = 1\r\n")
PLACE = Span(DOCUMENT.text.index("b"), DOCUMENT.text.index("c"))
TASK = Task(Action.FIX, PLACE, "no such name")
SHOWS = Client(versions_edits=True, annotates_edits=True)


def change(breaks: bool = False, large: bool = False) -> Change:
    return Change(TASK, DOCUMENT, (Replacement(PLACE, "d\r\n"),), 0.5, breaks, large)


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 13), ("utf-16", 11), ("utf-32", 10)])
def test_edit_counts_in_the_negotiated_encoding_and_keeps_the_line_breaks(
    encoding: PositionEncoding, character: int
) -> None:
    edit = workspace_edit(change(), Client(encoding=encoding))
    assert edit.changes is not None
    (one,) = edit.changes[DOCUMENT.uri]
    assert one.range == types.Range(types.Position(0, character), types.Position(1, 0))
    assert one.new_text == "d\r\n"
    assert edit.document_changes is None


@pytest.mark.parametrize("large", [False, True])
def test_confirmation_is_asked_for_large_edits_alone(large: bool) -> None:
    annotations = workspace_edit(change(breaks=True, large=large), SHOWS).change_annotations
    assert annotations is not None
    (annotation,) = annotations.values()
    assert annotation.needs_confirmation is large


@pytest.mark.parametrize(
    ("client", "breaks", "large", "said"),
    [
        (SHOWS, True, True, False),
        (SHOWS, True, False, True),
        (Client(versions_edits=True), True, True, True),
        (Client(annotates_edits=True), True, True, True),
        (SHOWS, False, False, False),
    ],
)
def test_broken_result_is_told_where_no_annotation_would_be_seen(
    client: Client, breaks: bool, large: bool, said: bool
) -> None:
    assert (warning_of(change(breaks, large), client) is not None) == said


class Quiet:
    """As much of a server as an action without progress needs."""

    work_done_progress = None


@pytest.mark.parametrize(
    ("meanwhile", "error"),
    [
        ("nothing", None),
        ("newer", Cancelled),
        ("closed", StaleDocument),
        ("reopened", StaleDocument),
        ("edited", StaleDocument),
        ("fruitless", NothingToDo),
    ],
)
async def test_what_comes_too_late_for_the_engine_to_stop_is_not_handed_out(
    meanwhile: str, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(never)
    session.documents[DOCUMENT.uri] = DOCUMENT

    async def work(*_: Any) -> tuple[Outcome, list[Span]]:
        if meanwhile == "newer":
            session.supersede(DOCUMENT.uri, "action")
        elif meanwhile == "closed":
            session.forget(DOCUMENT.uri)
        elif meanwhile == "reopened":
            session.forget(DOCUMENT.uri)
            session.documents[DOCUMENT.uri] = DOCUMENT
        elif meanwhile == "edited":
            session.edit(DOCUMENT.uri, [], 4)
        replacements = () if meanwhile == "fruitless" else (Replacement(PLACE, "d\r\n"),)
        return Outcome(DOCUMENT, replacements, 0.5), [PLACE]

    monkeypatch.setattr(performing, "work", work)
    server: LanguageServer = Quiet()  # type: ignore[assignment]
    asked = Asked("r", DOCUMENT.uri, DOCUMENT.version, TASK)
    if error is None:
        (made,) = await performing.perform(server, session, [asked])
        assert made.replacements
    else:
        with pytest.raises(error):
            await performing.perform(server, session, [asked])
    assert session.fruitless(DOCUMENT) == ({TASK} if meanwhile == "fruitless" else set())
