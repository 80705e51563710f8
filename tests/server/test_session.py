"""The session without a client."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from dgls.code.document import Change, Document, Position
from dgls.context.exclusion import Excluded
from dgls.context.surroundings import Surroundings
from dgls.server.capabilities import Client
from dgls.server.session import Session
from dgls.server.settings import Settings
from dgls_engine.errors import Cancelled
from dgls_engine.profile import Profile, PromptFormat
from dgls_engine.types import Loading
from dgls_engine.worker import EngineLike
from tests.context.workspace import plant


def never(settings: Settings, on_loading: Loading) -> EngineLike:
    raise AssertionError("no model is needed here")


def document(text: str, version: int = 1) -> Document:
    return Document("file:///a.py", version, "python", text)


def test_in_flight_newer_request_cancels_the_older_one_of_its_document_and_purpose() -> None:
    session = Session(never)
    with session.in_flight("a", "completion") as older, session.in_flight("b", "completion") as other:
        with session.in_flight("a", "action") as action, session.in_flight("a", "completion") as newer:
            cancelled = [token.cancelled for token in (older, newer, other, action)]
            assert cancelled == [True, False, False, False]
        assert newer.cancelled, "what has ended may leave nothing running"


@pytest.mark.parametrize("error", [Cancelled("x"), KeyboardInterrupt()])
def test_in_flight_with_an_error_cancels_and_forgets_the_request(error: BaseException) -> None:
    session = Session(never)

    def fail() -> None:
        with session.in_flight("a", "completion") as token:
            tokens.append(token)
            raise error

    tokens: list[object] = []
    with pytest.raises(type(error)):
        fail()
    assert tokens[0].cancelled  # type: ignore[attr-defined]
    assert session.status().state == "loading"


def test_syntax_after_an_edit_parses_the_new_text() -> None:
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
        ([Change("y", Position(0, 4), Position(0, 6))], 5),
        ([Change("yz1", Position(0, 4), Position(0, 6))], None),
        ([Change("")], None),
        ([], None),
    ],
    ids=[
        "letters",
        "a line break",
        "last of two",
        "typed over",
        "replaced",
        "replaced by its start",
        "typed on",
        "all text sent",
        "nothing changed",
    ],
)
def test_deleted_at_after_a_deletion_holds_until_the_next_edit(changes: list[Change], deleted_at: int | None) -> None:
    session = Session(never)
    session.documents["file:///a.py"] = document("x = yz\nb = 1\n")
    session.edit("file:///a.py", changes, 2)
    assert [at for at in range(14) if session.deleted_at("file:///a.py", at)] == [deleted_at][: deleted_at is not None]
    session.edit("file:///a.py", [Change("z", Position(0, 0), Position(0, 0))], 3)
    assert not any(session.deleted_at("file:///a.py", at) for at in range(15))


def test_edit_is_the_same_whether_a_client_sends_changes_or_the_whole_text() -> None:
    text, keys = (
        "x = 1\n" * 4,
        [Change("a", Position(2, 1), Position(2, 1)), Change("b", Position(1, 1), Position(1, 1))],
    )
    after = document(text).apply(keys, 2, "utf-16")
    by_changes, by_text = Session(never), Session(never)
    for session, changes in ((by_changes, keys), (by_text, [Change(after.text)])):
        session.documents["file:///a.py"] = document(text)
        session.edit("file:///a.py", changes, 2)
    edited = by_changes.edited
    assert edited == by_text.edited
    assert edited is not None
    assert (edited.base.text, edited.first, edited.last) == (text, 1, 2)


def test_edit_with_a_change_that_changes_nothing_begins_no_edit() -> None:
    session = Session(never)
    session.documents["file:///a.py"] = document("x = 1\n")
    session.edit("file:///a.py", [Change("x", Position(0, 0), Position(0, 1))], 2)
    session.edit("file:///a.py", [], 3)
    assert session.edited is None


def test_forget_drops_everything_about_the_document() -> None:
    session = Session(never)
    session.documents["file:///a.py"] = document("x = 1\n")
    first = session.syntax(session.documents["file:///a.py"], 0)
    session.forget("file:///a.py")
    assert session.documents == {}
    assert session.syntax(document("x = 1\n"), 0) is not first


@pytest.mark.parametrize(
    ("setting", "prompt_format", "shown"),
    [("auto", "chat", True), ("auto", "raw", False), ("on", "raw", True), ("off", "chat", False)],
)
async def test_snippets_by_setting_and_prompt_format_are_shown_or_not(
    tmp_path: Path, setting: str, prompt_format: PromptFormat, shown: bool
) -> None:
    plant(tmp_path, {"lib.py": "def found(): ...\n"})
    session = Session(never, Client(folders=(tmp_path.as_uri(),)))
    session.configure("initialization", {"context": {"imports": setting, "openFiles": setting}})
    profile = Profile(prompt_format, "pad", 256, max_prompt_tokens=256, before_tokens=96, after_tokens=64)
    own = Document((tmp_path / "a.py").as_uri(), 1, "python", "from lib import found\n")
    snippets = await session.snippets(own, own.text, "", session.settings.context, profile, time.monotonic() + 60)
    assert [snippet.text for snippet in snippets] == (["def found():\n"] if shown else [])
    session.close(0)


async def test_reading_from_a_hanging_disk_returns_in_time_and_queues_nothing() -> None:
    session = Session(never, Client(folders=("file:///project",)))
    session.configure("initialization", {"context": {"imports": "on"}})
    profile = Profile("chat", "pad", 256, max_prompt_tokens=256, before_tokens=96, after_tokens=64)
    assert await session.excluded("file:///project/a.py", time.monotonic() + 60) is None
    hangs = threading.Event()
    session._reading.submit(hangs.wait, 60)
    try:
        own, soon = document("from lib import found\n"), time.monotonic() + 0.02
        assert await session.excluded("file:///project/a.py", soon) is Excluded.UNDECIDED
        assert await session.snippets(own, own.text, "", session.settings.context, profile, soon) == ()
        left = [session._reading._work_queue.get_nowait() for _ in range(session._reading._work_queue.qsize())]
        assert all(job.future.cancelled() for job in left)
    finally:
        hangs.set()
        session.close(0)
    assert len(left) == 2


def test_folders_that_change_often_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate, read = threading.Event(), threading.Event(), list[object]()

    def excluded(surroundings: Surroundings, uri: str) -> None:
        begun.set()
        gate.wait(10)
        read.append(surroundings.folders)

    monkeypatch.setattr(Surroundings, "excluded", excluded)
    session = Session(never)
    for number in range(100):
        session.set_folders((f"file:///{number}",))
        assert begun.wait(10)
    gate.set()
    session._reading.shutdown(wait=True)
    assert read == [("file:///0",), ("file:///99",)]
