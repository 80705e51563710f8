"""Whose turn is next: laws over any sequence of requests, and the starvation that they rule out."""

from __future__ import annotations

from concurrent.futures import Future

from hypothesis import given, settings
from hypothesis import strategies as st

from dgls_engine.turns import Job, Turns
from dgls_engine.types import CancelToken, Context, Hole, InfillRequest

REQUEST = InfillRequest(Context(), [Hole()])
CALLERS = "abcd"
MOVES = st.lists(st.sampled_from([*CALLERS, "take"]), max_size=60)


def job(caller: str, key: object = "key") -> Job:
    return Job(REQUEST, CancelToken(), key, None, Future(), caller)


@settings(max_examples=60)
@given(MOVES)
def test_take_serves_a_waiting_caller_after_each_other_one_at_most_once(moves: list[str]) -> None:
    turns, waiting = Turns(), dict[str, list[str]]()  # of each waiting caller: who was served since it began to wait
    for move in moves:
        if move != "take":
            turns.drop(move, "key")  # the newest request of a caller replaces the one before
            turns.add(job(move))
            waiting.setdefault(move, [])
        elif (taken := turns.take()) is not None:
            others = waiting.pop(str(taken.caller))
            assert len(others) == len(set(others)), "a caller was served twice while another one waited"
            for served in waiting.values():
                served.append(str(taken.caller))
        else:
            assert not waiting
    assert bool(turns) == bool(waiting)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(CALLERS), st.integers(0, 3)), max_size=40))
def test_take_keeps_the_order_of_a_callers_own_jobs(jobs: list[tuple[str, int]]) -> None:
    turns = Turns()
    for caller, key in jobs:
        turns.add(job(caller, key))
    taken = [(each.caller, each.key) for _ in jobs if (each := turns.take()) is not None]
    for caller in CALLERS:
        assert [key for other, key in taken if other == caller] == [key for other, key in jobs if other == caller]


def test_take_caller_that_replaces_its_job_all_the_time_is_served() -> None:
    turns, served = Turns(), list[object]()
    for _ in range(12):
        for busy in "ab":
            turns.drop(busy, "key")
            turns.add(job(busy))
        turns.drop("typing", "key")  # a new key before every turn of another caller
        turns.add(job("typing"))
        taken = turns.take()
        assert taken is not None
        served.append(taken.caller)
    assert [served.count(caller) for caller in ("a", "b", "typing")] == [4, 4, 4]


def test_put_back_job_is_the_next() -> None:
    turns = Turns()
    first, other = job("a"), job("b")
    turns.add(first)
    turns.add(other)
    assert turns.take() is first
    turns.put_back(first)
    assert turns.take() is first
    assert turns.take() is other


def test_leave_returns_the_callers_jobs_and_no_others() -> None:
    turns = Turns()
    gone, other = job("a"), job("b")
    turns.add(gone)
    turns.add(other)
    assert turns.leave("a") == [gone]
    assert turns.clear() == [other]
    assert not turns
