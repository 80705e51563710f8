"""The form of an edit for each client, and what `perform` does if the document changes meanwhile."""

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
from dgls.server.actions.parameters import ActionRequest
from dgls.server.actions.workspace_edit import Proposal, warning_of, workspace_edit
from dgls.server.capabilities import Client
from dgls.server.session import Session
from dgls_engine.errors import Cancelled
from tests.server.test_session import never

DOCUMENT = Document("file:///a.py", 3, "python", "a = '\U0001f600' + b\r\nc = 1\r\n")
PLACE = Span(DOCUMENT.text.index("b"), DOCUMENT.text.index("c"))
TASK = Task(Action.FIX, PLACE, "no such name")
SHOWS = Client(versions_edits=True, annotates_edits=True)


def proposal(breaks: bool = False, large: bool = False) -> Proposal:
    return Proposal(TASK, DOCUMENT, (Replacement(PLACE, "d\r\n"),), 0.5, breaks, large)


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 13), ("utf-16", 11), ("utf-32", 10)])
def test_workspace_edit_counts_in_the_negotiated_encoding_and_keeps_line_breaks(
    encoding: PositionEncoding, character: int
) -> None:
    edit = workspace_edit(proposal(), Client(encoding=encoding))
    assert edit.changes is not None
    (one,) = edit.changes[DOCUMENT.uri]
    assert one.range == types.Range(types.Position(0, character), types.Position(1, 0))
    assert one.new_text == "d\r\n"
    assert edit.document_changes is None


@pytest.mark.parametrize("large", [False, True])
def test_workspace_edit_asks_for_confirmation_of_large_edits_only(large: bool) -> None:
    annotations = workspace_edit(proposal(breaks=True, large=large), SHOWS).change_annotations
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
def test_warning_of_a_broken_result_is_shown_unless_an_annotation_is(
    client: Client, breaks: bool, large: bool, said: bool
) -> None:
    assert (warning_of(proposal(breaks, large), client) is not None) == said


class Quiet:
    """The part of a server that an action without progress uses."""

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
async def test_perform_with_a_change_during_the_work_raises(
    meanwhile: str, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(never)
    session.documents[DOCUMENT.uri] = DOCUMENT

    async def run_job(*_: Any) -> tuple[Outcome, list[Span]]:
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

    monkeypatch.setattr(performing, "run_job", run_job)
    server: LanguageServer = Quiet()  # type: ignore[assignment]
    request = ActionRequest("r", DOCUMENT.uri, DOCUMENT.version, TASK)
    if error is None:
        (performed,) = await performing.perform(server, session, [request])
        assert performed.replacements
    else:
        with pytest.raises(error):
            await performing.perform(server, session, [request])
    assert session.fruitless(DOCUMENT) == ({TASK} if meanwhile == "fruitless" else set())
