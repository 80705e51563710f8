"""A hole that resumes a draft: its first pass, its stop rule, and the other holes, which stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from dgls_engine import Context, Engine, Hole, Infill, InfillRequest, Pinned
from dgls_engine.loop.stopping import StableAndSure
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.profile import PinnedSignal
from dgls_engine.text.canvas import Canvas, lay_out
from dgls_engine.text.length import Batch, Length, Pad
from dgls_engine.types import Resume, Revise
from dgls_engine.weights.loader import LoadedModel
from tests.engine.reference import tensors_of

BEFORE, AFTER = Pinned("def read(path):\n    pri"), Pinned("\n    return value\n")


def resuming(draft: str, max_tokens: int = 8) -> list[Pinned | Hole]:
    return [BEFORE, Hole(max_tokens=max_tokens, start=Resume(draft)), AFTER]


def laid_out(loaded: LoadedModel, segments: list[Pinned | Hole], policy: Length) -> Canvas:
    return lay_out(segments, loaded.tokenizer, loaded.profile, policy.positions)


def test_resume_from_an_empty_text_raises() -> None:
    with pytest.raises(ValueError, match="cannot resume from an empty text"):
        Resume("")


def test_settled_draft_counts_as_a_step() -> None:
    assert StableAndSure(1, 0.1, resumed=[1, 2]).settled([1, 2], [0.01, 0.01])
    assert not StableAndSure(1, 0.1, resumed=[1, 2]).settled([1, 3], [0.01, 0.01])
    assert not StableAndSure(1, 0.1, resumed=[1, 2]).settled([1, 2], [0.5, 0.01])
    twice = StableAndSure(2, 0.1, resumed=[1, 2])
    assert [twice.settled([1, 2], [0.01, 0.01]) for _ in range(2)] == [False, True]


def test_settled_draft_ignores_uncounted_rows() -> None:
    rule = StableAndSure(1, 0.1, counted=lambda draft: [range(0, 1)], resumed=[1, 2])
    assert rule.settled([1, 9], [0.01, 5.0])


def test_lay_out_resume_under_pad_pads_after_draft(flat: LoadedModel) -> None:
    canvas = laid_out(flat, resuming("nt(path)"), Pad())
    (hole,) = canvas.holes
    hole_ids = list(canvas.ids[hole.start : hole.end])
    assert hole.freed == b"pri"
    assert len(hole) == 8
    spelled = b"".join(flat.tokenizer.token_bytes(token) for token in hole_ids)
    assert spelled == b"print(path)"
    assert hole_ids[-1] == flat.tokenizer.pad_id
    assert canvas.draft == hole_ids


def test_lay_out_resume_under_batch_keeps_draft_length(flat: LoadedModel) -> None:
    segments = resuming("nt(path)")
    assert isinstance(segments[1], Hole)
    assert len(Batch().tries(segments[1])) == 1
    (hole,) = laid_out(flat, segments, Batch()).holes
    assert len(hole) < 8


def test_draft_with_one_blank_hole_is_none(flat: LoadedModel) -> None:
    assert laid_out(flat, [*resuming("nt(path)"), Hole(max_tokens=2)], Pad()).draft is None


def run(engine: Engine, segments: Sequence[Pinned | Hole], seed: int = 0) -> Infill:
    *_, infill = engine.infill(InfillRequest(Context(), segments, seed=seed))
    assert isinstance(infill, Infill)
    return infill


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor | None]]:
    """The canvas of every decoder pass, and its self-conditioning signal."""
    seen: list[tuple[Tensor, Tensor | None]] = []
    original = decoder.decode

    def decode(model: Any, ids: Tensor, soft: Tensor | None, *rest: Any) -> Tensor:
        seen.append((ids[0].clone(), None if soft is None else soft[0].clone()))
        return original(model, ids, soft, *rest)

    monkeypatch.setattr(decoder, "decode", decode)
    return seen


@pytest.mark.parametrize("signal", get_args(PinnedSignal))
def test_resume_first_pass_shows_draft_as_a_steps_result(
    flat: LoadedModel, passes: list[tuple[Tensor, Tensor | None]], signal: PinnedSignal
) -> None:
    segments = resuming("nt(path)")
    engine = Engine(replace(flat, profile=replace(flat.profile, pinned_signal=signal)))
    run(engine, segments)
    canvas = laid_out(flat, segments, Pad())
    ids, soft = passes[0]
    laid, pinned = tensors_of(canvas)
    assert torch.equal(ids, laid)
    expected = decoder.embed(flat.model, ids)
    if signal == "never":
        expected[pinned] = 0.0
    assert soft is not None
    assert torch.equal(soft, expected)


def test_resume_with_blank_hole_keeps_its_noise(flat: LoadedModel, passes: list[tuple[Tensor, Tensor | None]]) -> None:
    segments = [*resuming("nt(path)"), Hole(max_tokens=3)]
    anew = [*resuming("nt(path)"), Hole(max_tokens=3)]
    assert isinstance(anew[1], Hole)
    anew[1] = replace(anew[1], start=Revise("nt(path)", 1.0))
    run(Engine(flat), segments)
    first, soft = passes[0]
    passes.clear()
    run(Engine(flat), anew)
    canvas = laid_out(flat, segments, Pad())
    kept, other = canvas.holes
    assert first[kept.start : kept.end].tolist() == list(canvas.ids[kept.start : kept.end])
    assert torch.equal(first[other.start : other.end], passes[0][0][other.start : other.end])
    assert soft is not None
    assert not soft[other.start : other.end].any()


def test_resume_draft_can_change(flat: LoadedModel) -> None:
    assert run(Engine(flat), resuming("nt(path)")).texts != ("nt(path)",)


def test_resume_same_request_gives_same_text(fresh: Callable[[], Engine]) -> None:
    first, again = (run(fresh(), resuming("nt(path)")) for _ in range(2))
    assert (first.fills, first.steps) == (again.fills, again.steps)


def test_resume_settled_fill_settles_in_two_steps() -> None:
    """On a trained model: a random model writes texts as other tokens than the tokenizer does."""
    with Engine.open("embedded", "cpu") as engine:
        before = ["def read(path):\n    with ", "import os\n\nclass Reader:\n    def __init__", "for index, value in "]
        hole, tail = Hole(max_tokens=16, stop="\n"), Pinned("\n")
        settled = [run(engine, [Pinned(text), hole, tail]) for text in before]
        resumed = [replace(hole, start=Resume(infill.texts[0])) for infill in settled]
        pairs = zip(before, resumed, strict=True)
        again = [run(engine, [Pinned(text), start, tail], seed=99) for text, start in pairs]
    assert {infill.finish for infill in settled} == {"stable"}
    assert [infill.texts for infill in again] == [infill.texts for infill in settled]
    assert all(warm.steps <= 2 < cold.steps for warm, cold in zip(again, settled, strict=True))
