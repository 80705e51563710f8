"""The requests that reach the engine during typing, and what their holes start from."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from dgls.code.document import Change, Document, Position
from dgls.server.attempt import Attempt
from dgls.server.session import Session
from dgls.server.settings import Settings
from dgls.suggest.suggestion import Suggestion
from dgls_engine.errors import Cancelled
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken, Fill, Hole, Infill, InfillRequest, Loading, Piece, Resume, Step, Timings
from dgls_engine.worker import EngineLike

URI = "file:///a.py"


class Scripted:
    """Fills all holes with `text` in one step, with a confidence that only invoked requests show. `halts`: waits after
    the step until it is cancelled. `seconds`: how long a fill takes. `deadlines`: those of the requests, in ms."""

    def __init__(self, text: str, halts: bool = False) -> None:
        self.text, self.halts = text, halts
        self.stepped = threading.Event()
        self.holes: list[Hole] = []
        self.deadlines: list[int | None] = []
        self.seconds = 0.0
        profile = Profile("raw", "pad", 256, max_prompt_tokens=256, before_tokens=96, after_tokens=64)
        self.info = ModelInfo("fake", 1, 4, "cpu", "cpu", "float32", 0.0, profile)

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        halts = self.halts
        self.deadlines.append(request.limits.deadline_ms)
        time.sleep(self.seconds)
        self.holes += [segment for segment in request.segments if isinstance(segment, Hole)]
        yield Step(1, (Fill(self.text, (Piece(self.text, 1.0),), None, 1.0),), 0.0)
        self.stepped.set()
        while halts:
            time.sleep(0.001)
            if cancel is not None and cancel.cancelled:
                raise Cancelled("cancelled")
        yield Infill((Fill(self.text, (Piece(self.text, 0.1),), 0.1, 0.1),), 1, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)

    def warm(self) -> Iterator[None]:
        yield from ()

    def count(self, text: str) -> int:
        return len(text)

    def close(self) -> None: ...

    @property
    def starts(self) -> list[str | None]:
        """The text that each hole started from so far."""
        return [hole.start.text if isinstance(hole.start, Resume) else None for hole in self.holes]


class Typist:
    """Types in an open document of `session`, and requests suggestions."""

    def __init__(self, engine: Scripted) -> None:
        self._offset = 4

        def open_engine(settings: Settings, on_loading: Loading) -> EngineLike:
            return engine

        self.session = Session(open_engine)
        self.session.documents[URI] = Document(URI, 1, "python", "x = \nend()\n")

    def types(self, text: str) -> None:
        document = self.session.documents[URI]
        at = Position(0, self._offset)
        self.session.edit(URI, [Change(text, at, at)], document.version + 1)
        self._offset += len(text)

    def attempt(self, invoked: bool = False) -> Attempt:
        return Attempt(self.session, self.session.documents[URI], self._offset, invoked)

    async def asks(self, invoked: bool = False) -> list[Suggestion]:
        return await self.attempt(invoked).run(5_000)


@pytest.fixture
def engine() -> Scripted:
    return Scripted("foo(bar)")


@pytest.fixture
def typist(engine: Scripted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Typist]:
    monkeypatch.setattr("dgls.server.attempt.READING_SECONDS", 10.0)  # a busy machine reads no rules in 0.1 s
    typist = Typist(engine)
    yield typist
    typist.session.close(5)


async def test_attempt_after_typing_part_of_a_draft_resumes_from_the_rest(engine: Scripted, typist: Typist) -> None:
    await typist.asks()
    typist.types("f")
    await typist.asks()
    typist.types("z")
    await typist.asks()
    assert engine.starts == [None, "oo(bar)", None]


async def test_attempt_after_a_cancelled_one_resumes_from_its_draft(engine: Scripted, typist: Typist) -> None:
    engine.halts = True
    cancelled = typist.attempt()
    running = asyncio.create_task(cancelled.run(5_000))
    assert await asyncio.to_thread(engine.stepped.wait, 10)
    typist.types("foo")
    engine.halts = False
    newer = typist.attempt()
    assert await newer.run(5_000) == []
    assert (newer.steps, newer.trouble) == (1, None)
    assert await running == []
    assert (cancelled.steps, cancelled.trouble) == (0, None)
    assert engine.starts == [None, "(bar)"]


async def test_invoked_attempt_starts_from_noise(engine: Scripted, typist: Typist) -> None:
    await typist.asks()
    typist.types("f")
    assert await typist.asks(invoked=True)
    assert engine.starts == [None] * len(engine.starts)


async def test_attempt_after_a_rejected_fill_starts_from_noise(engine: Scripted, typist: Typist) -> None:
    engine.text = "f" + "\N{REPLACEMENT CHARACTER}x"
    await typist.asks()
    typist.types("f")
    await typist.asks()
    assert engine.starts == [None, None]


async def test_attempt_after_the_document_was_closed_starts_from_noise(engine: Scripted, typist: Typist) -> None:
    await typist.asks()
    document = typist.session.documents[URI]
    typist.session.forget(URI)
    typist.session.documents[URI] = document
    typist.types("f")
    await typist.asks()
    assert engine.starts == [None, None]


async def test_attempt_on_a_document_that_is_closed_leaves_nothing(typist: Typist) -> None:
    attempt = typist.attempt(invoked=False)
    typist.session.forget(URI)
    await attempt.run(deadline_ms=1000)
    assert attempt.trouble is None
    assert not typist.session._memories


async def test_attempt_after_a_change_of_settings_keeps_those_it_began_with(typist: Typist) -> None:
    typist.session.configure("configuration", {"inlineCompletion": {"candidates": 3}})
    attempt = typist.attempt(invoked=True)
    typist.session.configure("configuration", {"inlineCompletion": {"candidates": 1}})
    assert await attempt.run(5_000)
    assert attempt.steps == 3


async def test_invoked_attempt_gives_the_next_candidates_the_time_that_is_left(
    engine: Scripted, typist: Typist
) -> None:
    engine.seconds = 0.05
    assert await typist.asks(invoked=True)
    first, second, third = (deadline for deadline in engine.deadlines if deadline is not None)
    assert first == 5_000
    assert 4_000 < second <= 4_950
    assert 3_000 < third <= second - 50


async def test_invoked_attempt_with_less_than_a_step_left_starts_no_candidate(engine: Scripted, typist: Typist) -> None:
    engine.seconds = 0.05
    assert await typist.attempt(invoked=True).run(80)
    assert engine.deadlines == [80]
