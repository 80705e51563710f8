"""The session's own promises, on the loop but without a client."""

from __future__ import annotations

import pytest

from dgls.document import Change, Document, Position
from dgls.session import Session
from dgls.settings import Settings
from engine.errors import Cancelled
from engine.worker import EngineLike


def never(settings: Settings) -> EngineLike:
    raise AssertionError("no model is needed here")


def document(text: str, version: int = 1) -> Document:
    return Document("file:///a.py", version, "python", text)


def test_newer_request_cancels_the_older_one_of_its_document_only() -> None:
    session = Session(never)
    with session.in_flight("a") as older, session.in_flight("b") as other:
        with session.in_flight("a") as newer:
            assert (older.cancelled, newer.cancelled, other.cancelled) == (True, False, False)
        assert newer.cancelled, "what has ended may leave nothing running"


@pytest.mark.parametrize("error", [Cancelled("x"), KeyboardInterrupt()])
def test_request_that_ends_badly_is_cancelled_and_forgotten(error: BaseException) -> None:
    session = Session(never)

    def fail() -> None:
        with session.in_flight("a") as token:
            tokens.append(token)
            raise error

    tokens: list[object] = []
    with pytest.raises(type(error)):
        fail()
    assert tokens[0].cancelled  # type: ignore[attr-defined]
    assert session.status().state == "loading"


def test_tree_of_a_document_follows_its_text() -> None:
    session = Session(never)
    old = document("def f():\n    return (\n")
    first = session.syntax(old, 0)
    new = old.apply([Change(")", Position(1, 12), Position(1, 12))], 2, "utf-16")
    second = session.syntax(new, 0)
    assert first is not None
    assert second is not None
    assert [syntax.tree.root_node.has_error for syntax in (first, second)] == [True, False]


@pytest.mark.parametrize(
    ("changes", "deleted_at"),
    [
        ([Change("", Position(0, 4), Position(0, 6))], 4),
        ([Change("", Position(0, 6), Position(1, 0))], 6),
        ([Change("z", Position(0, 6), Position(0, 6)), Change("", Position(0, 6), Position(0, 7))], 6),
        ([Change("", Position(0, 4), Position(0, 6)), Change("z", Position(0, 4), Position(0, 4))], None),
        ([Change("z", Position(0, 4), Position(0, 6))], None),
        ([Change("")], None),
        ([], None),
    ],
    ids=["letters", "a line break", "last of two", "typed over", "replaced", "all text sent", "nothing changed"],
)
def test_place_of_a_deletion_is_remembered_until_the_next_edit(changes: list[Change], deleted_at: int | None) -> None:
    session = Session(never)
    session.documents["file:///a.py"] = document("x = yz\nb = 1\n")
    session.edit("file:///a.py", changes, 2)
    assert [at for at in range(14) if session.deleted_at("file:///a.py", at)] == [deleted_at][: deleted_at is not None]
    session.edit("file:///a.py", [Change("z", Position(0, 0), Position(0, 0))], 3)
    assert not any(session.deleted_at("file:///a.py", at) for at in range(15))


def test_closed_document_leaves_nothing_behind() -> None:
    session = Session(never)
    session.documents["file:///a.py"] = document("x = 1\n")
    first = session.syntax(session.documents["file:///a.py"], 0)
    session.forget("file:///a.py")
    assert session.documents == {}
    assert session.syntax(document("x = 1\n"), 0) is not first
