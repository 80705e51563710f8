"""Which outcomes of suggestions reach the accept log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dgls.code.document import Change, Document, Position, Span
from dgls.server import acceptance
from dgls.server.session import Session
from dgls.suggest.suggestion import Suggestion
from dgls_engine.weights.accept_log import Outcome
from tests.server.test_session import never

URI = "file:///a.py"
Logged = list[tuple[str, Outcome]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    outcomes: Logged = []
    monkeypatch.setattr(acceptance.Writer, "write", lambda self, *outcome: outcomes.append(outcome))
    return outcomes


def session_with(options: dict[str, Any]) -> Session:
    session = Session(never)
    session.configure("initialization", {"model": "embedded", **options})
    session.documents[URI] = Document(URI, 1, "python", "x = \n")
    return session


def show(session: Session, text: str) -> None:
    document = session.documents[URI]
    at = len(document.text) - 1
    session.note_shown(document, Suggestion(URI, document.version, Span(at, at), text, 0.5, 0.25))


def write(session: Session, text: str) -> None:
    document = session.documents[URI]
    at = Position(0, len(document.text) - 1)
    session.edit(URI, [Change(text, at, at)], document.version + 1)


def accept_and_close(session: Session) -> None:
    show(session, "foo(bar)")
    write(session, "foo(bar)")
    session.forget(URI)


def type_through(session: Session) -> None:
    show(session, "ab\nc")
    write(session, "a")
    show(session, "b\nc")
    write(session, "b\nc")
    write(session, " ")


def refuse_twice(session: Session) -> None:
    for _ in range(2):
        show(session, "foo")
        write(session, "g")


def see_another(session: Session) -> None:
    show(session, "foo")
    show(session, "bar")
    session.forget(URI)


ON = {"inlineCompletion": {"acceptLog": True}}


@pytest.mark.parametrize(
    ("does", "options", "outcomes"),
    [
        (accept_and_close, ON, [(1, True)]),
        (type_through, ON, [(2, True)]),
        (refuse_twice, ON, [(1, False), (1, False)]),
        (see_another, ON, []),
        (refuse_twice, {}, []),
        (refuse_twice, ON | {"engine": {"url": "https://gpu.example"}}, []),
    ],
)
async def test_log_after_what_the_user_does_has_its_outcomes(
    logged: Logged, does: Callable[[Session], None], options: dict[str, Any], outcomes: list[tuple[int, bool]]
) -> None:
    session = session_with(options)
    does(session)
    session._reading.shutdown(wait=True)
    assert [(model, each.lines, each.taken, each.probability, each.language) for model, each in logged] == [
        ("embedded", lines, taken, 0.25, "python") for lines, taken in outcomes
    ]


def test_writer_without_a_disk_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("dgls_engine.weights.accept_log.log_folder", lambda: tmp_path / "file" / "accepted")
    writer = acceptance.Writer()
    for _ in range(3):
        writer.write("embedded", Outcome(0, "python", 1, 0.5, True))
    assert len(caplog.records) == 1
