"""What is passed to the loop: sampler, schedule, stop rule, constraint."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from dgls_engine.loop.constraint import TOKEN_WORTH, Constraint, Rules, Vocabulary
from dgls_engine.loop.denoise import Rival, denoise
from dgls_engine.loop.leads import Draft
from dgls_engine.loop.sampler import Sampler, accepted, entropy
from dgls_engine.loop.stopping import Deadline, Schedule, StableAndSure
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.profile import PinnedSignal
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, lay_out
from dgls_engine.text.length import Pad
from dgls_engine.text.opened import Opened
from dgls_engine.types import CancelToken, Hole, Pinned
from dgls_engine.weights.loader import LoadedModel
from tests.engine.reference import tensors_of


def vocabulary_of(loaded: LoadedModel) -> Vocabulary:
    return Vocabulary(loaded.tokenizer, loaded.model.config.text_config.vocab_size, loaded.device)


def rules_of(canvas: Canvas, vocabulary: Vocabulary, pads: bool) -> Rules:
    return Rules.of([Constraint.of(canvas, vocabulary, pads)])


def laid_out(loaded: LoadedModel, *segments: Hole | Pinned) -> Canvas:
    return lay_out(segments, loaded.tokenizer, loaded.profile, Pad().positions)


def run(loaded: LoadedModel, canvas: Canvas, pinned_signal: PinnedSignal = "after-first") -> list[Draft]:
    encoder = Encoder(prompt_factory(loaded.model))
    encoder.prefill([1, 2, 30, 40])
    vocabulary = vocabulary_of(loaded)
    rival = Rival(
        canvas,
        Sampler(vocabulary.size, 0.1, torch.Generator().manual_seed(0)),
        StableAndSure(1, 0.0),
        Constraint.of(canvas, vocabulary, pads=True),
    )
    progress = denoise(
        Eager(loaded.model, encoder.cache.seen(), 4, pinned_signal),
        [rival],
        schedule=Schedule(4, 0.4, 0.8),
        deadline=Deadline(None),
        cancel=CancelToken(),
    )
    return [step for (step,) in progress]


def test_temperature_by_step_equals_transformers() -> None:
    schedule = Schedule(max_steps=4, t_min=0.4, t_max=0.8)
    assert [schedule.temperature(index) for index in (1, 2, 3, 4)] == pytest.approx([0.8, 0.7, 0.6, 0.5])


def test_accepted_rows_keep_entropy_sum_within_bound() -> None:
    entropies = torch.tensor([0.5, 0.04, 0.03, 2.0, 0.05])
    assert accepted(entropies, 0.1).tolist() == [False, True, True, False, True]
    assert accepted(entropies, 0.0).tolist() == [False, False, True, False, False]
    assert accepted(entropies, 10.0).all()


def test_entropy_with_zero_probabilities_equals_definition() -> None:
    probabilities = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    assert entropy(probabilities).tolist() == pytest.approx([0.0, math.log(2)])


@pytest.mark.parametrize("stability", [0, 1, 2])
def test_settled_after_enough_equal_steps(stability: int) -> None:
    rule = StableAndSure(stability, 0.1)
    sure = [0.01, 0.01]
    answers = [rule.settled(draft, sure) for draft in ([1, 2], [1, 3], [1, 3], [1, 3])]
    assert answers == {0: [True] * 4, 1: [False, False, True, True], 2: [False, False, False, True]}[stability]


def test_settled_stable_but_unsure_draft_is_not() -> None:
    rule = StableAndSure(1, 0.1)
    assert [rule.settled([1], [nats]) for nats in (0.01, 0.1, 0.09)] == [False, False, True]


def test_settled_ignores_rows_behind_the_end() -> None:
    rule = StableAndSure(1, 0.1, counted=lambda draft: [range(0, 2)])
    assert not rule.settled([1, 2, 7], [0.01, 0.01, 5.0])
    assert rule.settled([1, 2, 8], [0.01, 0.01, 5.0])


def test_settled_shrinking_text_is_not() -> None:
    ends = iter([2, 1])
    rule = StableAndSure(1, 0.1, counted=lambda draft: [range(0, next(ends))])
    assert not rule.settled([1, 2], [0.0, 0.0])
    assert not rule.settled([1, 2], [0.0, 0.0])


def test_deadline_strikes_before_a_step_that_would_miss_it() -> None:
    now = [5.0]
    deadline = Deadline(1.0, clock=lambda: now[0])
    assert [deadline.strikes_within(seconds) for seconds in (0.5, 1.0, 1.1)] == [False, False, True]
    now[0] = 5.8
    assert deadline.strikes_within(0.3)
    assert not Deadline(None).strikes_within(math.inf)


def test_constraint_bans_ids_without_text_and_bounds_first_token(flat: LoadedModel) -> None:
    canvas = laid_out(flat, Pinned("pri"), Hole(min_tokens=2, max_tokens=4), Pinned("\n"), Hole(max_tokens=2))
    vocabulary = vocabulary_of(flat)
    allowed = rules_of(canvas, vocabulary, pads=True).apply(torch.zeros(6, vocabulary.size)).isfinite()
    pad, tokenizer = flat.tokenizer.pad_id, flat.tokenizer
    assert allowed[0].nonzero()[:, 0].tolist() == tokenizer.extending(b"pri")
    assert allowed[:, pad].tolist() == [False, False, True, True, False, True]
    assert not allowed[:, [id for id in tokenizer.special_ids if id != pad]].any()
    assert allowed[1:, tokenizer.encode("x")].all()
    unpadded = rules_of(canvas, vocabulary, pads=False).apply(torch.zeros(6, vocabulary.size)).isfinite()
    assert not unpadded[:, pad].any()


def test_constraint_expected_text_leads_at_its_own_length(flat: LoadedModel) -> None:
    vocabulary, expected = vocabulary_of(flat), flat.tokenizer.encode("value(")
    segments = (
        Pinned("Q"),
        Opened(0, 2, strength=0.4, expected="value("),
        Pinned("\n"),
        Opened(0, 3, expected="value("),
    )
    lead = rules_of(laid_out(flat, *segments), vocabulary, pads=True).apply(torch.zeros(5, vocabulary.size))
    wanted = torch.zeros(5, vocabulary.size)
    wanted[[0, 1], expected] = TOKEN_WORTH * 0.6
    allowed = lead.isfinite()
    assert torch.equal(lead[allowed], wanted[allowed])


@pytest.mark.parametrize("pinned_signal", get_args(PinnedSignal))
def test_signal_pinned_rows_feed_own_embedding_by_setting(
    flat: LoadedModel, monkeypatch: pytest.MonkeyPatch, pinned_signal: PinnedSignal
) -> None:
    canvas = laid_out(flat, Pinned("def f"), Hole(max_tokens=4), Pinned("\n"))
    signals = recorded(monkeypatch, argument=2)
    run(flat, canvas, pinned_signal=pinned_signal)
    laid, pinned = tensors_of(canvas)
    own = decoder.embed(flat.model, laid[pinned]).detach()
    first, *rest = signals
    if pinned_signal == "always":
        assert torch.equal(first[0][pinned], own)
        assert not first[0][~pinned].any()
    else:
        assert first is None
    assert len(rest) == 3
    for signal in rest:
        assert torch.equal(signal[0][pinned], torch.zeros_like(own) if pinned_signal == "never" else own)
        assert signal[0][~pinned].any()


def recorded(monkeypatch: pytest.MonkeyPatch, argument: int = 1) -> list[Any]:
    """One argument of each decoder pass: 1 the canvas' ids [C], 2 the self-conditioning signal."""
    seen: list[Any] = []
    original = decoder.decode

    def decode(*given: Any) -> Tensor:
        seen.append(given[1][0].clone() if argument == 1 else given[argument])
        return original(*given)

    monkeypatch.setattr(decoder, "decode", decode)
    return seen
