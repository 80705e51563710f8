"""What waits for a guest: answers at once, drafts when there is time, and nothing without an end."""

from __future__ import annotations

import pytest

from dgls_engine.sharing.outbox import Outbox
from dgls_engine.sharing.wire import Beaten, Filled, Loaded, Stepped
from dgls_engine.types import Infill, Step, Timings

ANSWER = Infill((), 1, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)


def draft(index: int, number: int = 1) -> Stepped:
    return Stepped(number, Step(index, (), 0.0))


def taken(outbox: Outbox) -> list[object]:
    found = []
    while (message := outbox.take(0.0)) is not None:
        found.append(message)
    return found


def test_take_several_drafts_returns_the_newest() -> None:
    outbox = Outbox()
    outbox.put(draft(1), draft(2), draft(3))
    assert taken(outbox) == [draft(3)]


def test_take_draft_soon_after_another_waits() -> None:
    outbox = Outbox()
    outbox.put(draft(1))
    assert taken(outbox) == [draft(1)]
    outbox.put(draft(2))
    assert outbox.take(0.0) is None
    assert outbox.take(5.0) == draft(2)


def test_take_answer_soon_after_a_draft_does_not_wait() -> None:
    outbox = Outbox()
    outbox.put(draft(1))
    assert taken(outbox) == [draft(1)]
    outbox.put(draft(2), Filled(1, ANSWER))
    assert taken(outbox) == [Filled(1, ANSWER)], "it makes the draft needless"
    outbox.put(draft(1, number=2), Beaten())
    assert taken(outbox) == [draft(1, number=2), Beaten()], "what waits behind a draft takes it along"


def test_take_progress_returns_the_newest() -> None:
    outbox = Outbox()
    outbox.put(*(Loaded(done, 1000) for done in range(1000)))
    assert taken(outbox) == [Loaded(999, 1000)]


def test_take_after_the_end_returns_what_is_left() -> None:
    outbox = Outbox()
    outbox.put(draft(1))
    assert taken(outbox) == [draft(1)]
    outbox.put(draft(2))
    outbox.end()
    assert outbox.take(5.0) == draft(2)
    with pytest.raises(EOFError):
        outbox.take(5.0)


def test_put_to_a_guest_that_takes_nothing_gives_it_up() -> None:
    outbox = Outbox()
    outbox.put(*[Beaten()] * 100)
    with pytest.raises(EOFError):
        outbox.take(5.0)
