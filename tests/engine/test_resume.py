"""A hole that goes on from a draft: what it starts from, how soon it ends, and that nothing else changes."""

from __future__ import annotations

import pytest

from engine import Hole, Pinned
from engine.canvas import Canvas, lay_out
from engine.length import Batch, Length, Pad
from engine.loader import LoadedModel
from engine.stopping import StableAndSure

BEFORE, AFTER = Pinned("def read(path):\n    pri"), Pinned("\n    return value\n")


def resuming(draft: str, max_tokens: int = 8) -> list[Pinned | Hole]:
    return [BEFORE, Hole(max_tokens=max_tokens, draft=draft, resume=True), AFTER]


def laid_out(loaded: LoadedModel, segments: list[Pinned | Hole], policy: Length) -> Canvas:
    return lay_out(segments, loaded.tokenizer, loaded.profile, policy.positions)


@pytest.mark.parametrize(("draft", "strength"), [(None, 1.0), ("", 1.0), ("value", 0.5)])
def test_only_a_whole_draft_is_gone_on_from(draft: str | None, strength: float) -> None:
    with pytest.raises(ValueError, match="resumes from a draft"):
        Hole(draft=draft, strength=strength, resume=True)


def test_a_draft_counts_as_the_step_before_the_first() -> None:
    assert StableAndSure(1, 0.1, resumed=[1, 2]).settled([1, 2], [0.01, 0.01])
    assert not StableAndSure(1, 0.1, resumed=[1, 2]).settled([1, 3], [0.01, 0.01])
    assert not StableAndSure(1, 0.1, resumed=[1, 2]).settled([1, 2], [0.5, 0.01])
    twice = StableAndSure(2, 0.1, resumed=[1, 2])
    assert [twice.settled([1, 2], [0.01, 0.01]) for _ in range(2)] == [False, True]


def test_of_a_draft_only_what_counts_has_to_stay() -> None:
    rule = StableAndSure(1, 0.1, counted=lambda draft: [range(0, 1)], resumed=[1, 2])
    assert rule.settled([1, 9], [0.01, 5.0])


def test_under_pad_what_the_draft_leaves_of_its_hole_is_padding(flat: LoadedModel) -> None:
    canvas = laid_out(flat, resuming("nt(path)"), Pad())
    (hole,) = canvas.holes
    own = canvas.ids[hole.start : hole.end].tolist()
    assert hole.freed == b"pri"
    assert len(hole) == 8
    spelled = b"".join(flat.tokenizer.token_bytes(token) for token in own)
    assert spelled == b"print(path)"
    assert own[-1] == flat.tokenizer.pad_id
    assert canvas.resumed == own


def test_under_batch_it_keeps_its_length(flat: LoadedModel) -> None:
    segments = resuming("nt(path)")
    assert isinstance(segments[1], Hole)
    assert len(Batch().tries(segments[1])) == 1
    (hole,) = laid_out(flat, segments, Batch()).holes
    assert len(hole) < 8


def test_one_hole_that_starts_anew_and_the_others_do_not_count_as_a_draft(flat: LoadedModel) -> None:
    assert laid_out(flat, [*resuming("nt(path)"), Hole(max_tokens=2)], Pad()).resumed is None
