"""What is said arrives as it was, and anything else is refused without harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgls_engine.errors import Cancelled, NotEnoughMemory
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.sharing.wire import (
    Asked,
    Dropped,
    Failed,
    Filled,
    Opened,
    Scored,
    Stepped,
    Unreadable,
    encode,
    from_guest,
    from_holder,
)
from dgls_engine.types import (
    Beginning,
    Blank,
    Context,
    Fill,
    Hole,
    Infill,
    InfillRequest,
    Limits,
    Piece,
    Pinned,
    Resume,
    Revise,
    Score,
    ScoreRequest,
    Snippet,
    Step,
    Timings,
    Trial,
)

PROFILE = Profile("raw", "pad", 64, max_prompt_tokens=128, before_tokens=24, after_tokens=16, mask_token=7)
INFO = ModelInfo("m", 1, 2, "cuda:0", "a GPU", "bfloat16", 0.5, PROFILE)

TEXT = st.sampled_from(["", "a", "\n", "\ud800", "\U0001f389", "\0", '"is"'])
FULL = TEXT.filter(bool)
STARTS = st.just(Blank()) | st.builds(Resume, FULL) | st.builds(Revise, TEXT, st.sampled_from([0.1, 1 / 3, 1.0]))
BEGINNINGS = st.builds(Beginning, TEXT, st.frozensets(TEXT, max_size=2), st.booleans())
HOLES = st.builds(
    Hole,
    st.integers(0, 3),
    st.integers(3, 5),
    st.none() | FULL,
    STARTS,
    TEXT,
    st.lists(TEXT, max_size=2).map(tuple),
    st.lists(BEGINNINGS, max_size=2).map(tuple),
)
CONTEXTS = st.builds(Context, TEXT, TEXT, TEXT, TEXT, st.lists(st.builds(Snippet, TEXT, TEXT), max_size=2).map(tuple))
LIMITS = st.builds(Limits, st.none() | st.integers(1, 9), st.none() | st.integers(1, 9))
REQUESTS = st.builds(
    lambda context, segments, hole, limits: InfillRequest(context, [*segments, hole], limits, seed=3),
    CONTEXTS,
    st.lists(st.builds(Pinned, TEXT) | HOLES, max_size=3),
    HOLES,
    LIMITS,
)
SCORED = st.builds(ScoreRequest, CONTEXTS, TEXT, st.lists(TEXT, min_size=1, max_size=3), TEXT)


def test_opened_arrives_with_its_profile() -> None:
    assert from_holder(encode(Opened(INFO))) == Opened(INFO)


@settings(max_examples=50)
@given(st.builds(Asked, st.integers(0, 9), REQUESTS | SCORED))
def test_request_arrives_as_it_was(asked: Asked) -> None:
    assert from_guest(encode(asked)) == asked


def test_answer_arrives_with_its_pieces() -> None:
    fill = Fill("ab", (Piece("a", 1 / 3, 0.1), Piece("b", 1.0)), 0.5, 0.25, (Trial("ab", 2, 1.5),))
    filled = Filled(3, Infill((fill, fill), 2, "stable", Timings(0.1, 0.2), 1, 2, 3, 4, 5))
    assert from_holder(encode(filled)) == filled
    stepped = Stepped(3, Step(1, (fill,), 0.5))
    assert from_holder(encode(stepped)) == stepped


def test_scores_arrive_as_they_were() -> None:
    scored = Scored(3, (Score(("a", "b"), (1 / 3, 2.5)), Score((), ())))
    assert from_holder(encode(scored)) == scored


@pytest.mark.parametrize("error", [NotEnoughMemory("no room"), Cancelled("no longer")])
def test_error_arrives_as_its_class(error: Exception) -> None:
    said = from_holder(encode(Failed.of(3, error)))
    assert isinstance(said, Failed)
    assert (type(said.error), str(said.error)) == (type(error), str(error))


@pytest.mark.parametrize("kind", ["", "MAY_PASS", "reason_of", "__builtins__", "Nothing"])
def test_error_of_another_kind_arrives_as_an_error(kind: str) -> None:
    assert str(Failed(None, kind, "said").error) == "said"


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"\xff", b"null", b"3", b"[]", b"{}", b"[" * 100_000, b'{"is":[]}', b'{"is":"Nobody"}'),
        *(b'{"is":"Asked"}', b'{"is":"Asked","number":1,"request":{"segments":[]}}', b'{"is":"Filled","number":{}}'),
    ],
)
def test_broken_message_is_refused(message: bytes) -> None:
    with pytest.raises(Unreadable):
        from_guest(message)
    with pytest.raises(Unreadable):
        from_holder(message)


def test_message_of_the_other_side_is_refused() -> None:
    with pytest.raises(Unreadable):
        from_holder(encode(Dropped(1)))
    with pytest.raises(Unreadable):
        from_guest(encode(Opened(INFO)))
