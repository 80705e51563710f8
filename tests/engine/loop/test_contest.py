"""Several lengths in one batch: each as it would be alone, judged at the seam, none of the laws broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dgls_engine import CancelToken, Context, Engine, Hole, Infill, InfillRequest, Limits, Pinned, Step
from dgls_engine.errors import Cancelled, RequestTooLarge
from dgls_engine.loop.constraint import Constraint, Vocabulary
from dgls_engine.loop.contest import Contest
from dgls_engine.loop.denoise import Rival, Survivors, denoise
from dgls_engine.loop.judged_rows import AFTER
from dgls_engine.loop.leads import KEEP, LENGTH_WORTH, Draft
from dgls_engine.loop.sampler import Sampler
from dgls_engine.loop.seam import Seam
from dgls_engine.loop.stopping import Deadline, Schedule, StableAndSure
from dgls_engine.model.batches import stacked
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.profile import PinnedSignal
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, lay_out
from dgls_engine.text.length import Batch
from dgls_engine.types import Revise
from dgls_engine.weights.loader import LoadedModel
from tests.engine.checkpoints import SLIDING_WINDOW
from tests.engine.reference import prompt_of

LENGTHS = (1, 3, 4, 9)
NOISE = torch.arange(40, 40 + AFTER)


def passes_for(
    loaded: LoadedModel, tokens: int = 3 * SLIDING_WINDOW, pinned_signal: PinnedSignal = "after-first"
) -> Eager:
    """Behind a prompt of so many tokens."""
    encoder = Encoder(prompt_factory(loaded.model))
    encoder.prefill(prompt_of(loaded, tokens, seed=0))
    return Eager(loaded.model, encoder.cache.seen(), tokens, pinned_signal)


def canvas_of(loaded: LoadedModel, length: int, closing: Sequence[int] = ()) -> Canvas:
    segments = [Pinned("def f(x):\n    re"), Hole(length, length), Pinned("\n    value\n")]
    return lay_out(segments, loaded.tokenizer, loaded.profile, Batch().positions, closing)


def rival_of(loaded: LoadedModel, length: int, closing: Sequence[int] = ()) -> Rival:
    canvas = canvas_of(loaded, length, closing)
    vocabulary = Vocabulary(loaded.tokenizer, loaded.model.config.text_config.vocab_size, loaded.device)
    return Rival(
        canvas,
        Sampler(vocabulary.size, 0.5, torch.Generator().manual_seed(length)),
        StableAndSure(1, 0.05),
        Constraint.of(canvas, vocabulary, pads=False, stops=False),
    )


def denoised(
    loaded: LoadedModel,
    lengths: Sequence[int],
    survivors: Survivors | None = None,
    closing: Sequence[int] = (),
    **limits: Any,
) -> dict[int, list[Draft]]:
    """Every step of each length."""
    found: dict[int, list[Draft]] = {length: [] for length in lengths}
    batches = denoise(
        limits.get("passes") or passes_for(loaded),
        [rival_of(loaded, length, closing) for length in lengths],
        schedule=Schedule(8, 0.2, 0.6),
        deadline=limits.get("deadline", Deadline(None)),
        cancel=CancelToken(),
        survivors=survivors,
    )
    for steps in batches:
        for step in steps:
            found[lengths[step.rival]].append(step)
    return found


@pytest.mark.parametrize("closing", [(), (2,)], ids=["padded", "full canvas"])
def test_contest_each_length_equals_that_length_alone(loaded: LoadedModel, closing: tuple[int, ...]) -> None:
    together = denoised(loaded, LENGTHS, closing=closing)
    for length in LENGTHS:
        alone = denoised(loaded, [length], closing=closing)[length]
        assert [step.ids for step in together[length]] == [step.ids for step in alone]
        assert [step.finish for step in together[length]] == [step.finish for step in alone]
        for one, other in zip(together[length], alone, strict=True):
            assert one.entropies == pytest.approx(other.entropies, abs=1e-3)
            assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-3)


def ahead(passes: Eager) -> Eager:
    """As on a device of its own, where a pass is under way before the step before it was looked at."""
    passes.asynchronous = True
    return passes


@pytest.mark.parametrize("kept", [{0, 1, 2, 3}, {1, 3}], ids=["all go on", "some do"])
def test_contest_pass_started_early_changes_nothing(loaded: LoadedModel, kept: set[int]) -> None:
    early, late = (
        denoised(loaded, LENGTHS, survivors=lambda steps: kept, passes=passes)
        for passes in (ahead(passes_for(loaded)), passes_for(loaded))
    )
    assert early == late


def test_contest_last_step_starts_no_pass(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = batch_sizes(monkeypatch)
    for deadline, steps in ((Deadline(None), 8), (Deadline(0.0), 1)):
        sizes.clear()
        assert len(denoised(flat, [4], passes=ahead(passes_for(flat)), deadline=deadline)[4]) == len(sizes) == steps


def test_cancel_during_a_pass_starts_no_other(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, cancel = batch_sizes(monkeypatch), CancelToken()
    rivals = Contest(ahead(passes_for(flat)), [rival_of(flat, 3), rival_of(flat, 4)], 0, Seam(NOISE), 0.0)
    running = rivals.run(Schedule(8, 0.2, 0.6), Deadline(None), cancel)
    next(running)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(running)
    assert len(sizes) == 2


def test_contest_dropping_rivals_keeps_results_of_others(flat: LoadedModel) -> None:
    whole = denoised(flat, LENGTHS)
    some = denoised(flat, LENGTHS, survivors=lambda steps: {1, 3})
    assert len(some[1]) == len(some[4]) == 1
    assert [step.ids for step in some[3]] == [step.ids for step in whole[3]]
    assert [step.ids for step in some[9]] == [step.ids for step in whole[9]]


def test_pass_shorter_canvas_does_not_see_padding(loaded: LoadedModel) -> None:
    """Its hidden states are those of a pass of its own, sliding layers behind a long prompt included."""
    passes, model, lengths = passes_for(loaded), loaded.model, (4, 20, 31)
    ids = stacked([range(3, 3 + size) for size in lengths], loaded.device)
    with torch.inference_mode():
        soft = decoder.embed(model, ids)
        together = passes.hidden(ids, soft, lengths)
        for row, length in enumerate(lengths):
            given = ids[row : row + 1, :length], soft[row : row + 1, :length]
            alone = decoder.decode(model, *given, passes.seen, decoder.NO_MASKS, passes.tokens)[0]
            assert torch.allclose(together[row, :length], alone, atol=1e-4)


def contest(loaded: LoadedModel, lengths: Sequence[int], bias: float = 0.0) -> Contest:
    rivals = [rival_of(loaded, length) for length in lengths]
    return Contest(passes_for(loaded), rivals, 0, Seam(NOISE), bias)


def test_contest_least_surprising_wins_with_bias_per_token(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgls_engine.loop.seam.surprises", lambda *_: [5.0, 3.0, 4.0, 3.5])
    for bias, length in ((0.0, 3), (-1.0, 9), (3.0, 1)):
        *_, last = contest(flat, LENGTHS, bias).run(Schedule(4, 0.2, 0.6), Deadline(None), CancelToken())
        assert len(last.draft.ids) == length
        assert last.finish == "steps"
        assert last.passes == last.index + 1
        assert [nats for _, nats in last.judged] == [5.0, 3.0, 4.0, 3.5]


def test_score_unexpected_length_adds_penalty(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals = []
    for length in (2, 3):
        rival = rival_of(flat, length)
        (hole,) = rival.canvas.holes
        rivals.append(replace(rival, canvas=replace(rival.canvas, holes=(replace(hole, expected=(7, 8)),))))
    for lead, length in ((LENGTH_WORTH - 0.1, 2), (LENGTH_WORTH + 0.1, 3)):
        monkeypatch.setattr("dgls_engine.loop.seam.surprises", lambda *_, lead=lead: [lead, 0.0])
        judged = Contest(passes_for(flat), rivals, 0, Seam(NOISE), 0.0)
        *_, last = judged.run(Schedule(4, 0.2, 0.6), Deadline(None), CancelToken())
        assert len(last.draft.ids) == length


def test_contest_one_rival_wins_without_judging(flat: LoadedModel) -> None:
    *_, last = contest(flat, [4]).run(Schedule(4, 0.2, 0.6), Deadline(None), CancelToken())
    assert (last.index, last.passes, last.judged) == (4, 4, [])


def test_contest_deadline_while_one_settles_finishes_by_deadline(flat: LoadedModel) -> None:
    settled = replace(rival_of(flat, 9), stop=StableAndSure(0, float("inf")))
    rivals = Contest(passes_for(flat), [rival_of(flat, 3), settled], 0, Seam(NOISE), 0.0)
    [only] = rivals.run(Schedule(4, 0.2, 0.6), Deadline(0.0), CancelToken())
    assert only.finish == "deadline"


def test_contest_after_first_steps_keeps_few(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = batch_sizes(monkeypatch)
    lengths = range(1, KEEP + 5)
    list(contest(flat, lengths).run(Schedule(4, 0.2, 0.6), Deadline(None), CancelToken()))
    assert sizes[0] == len(lengths)
    assert sizes[2] == len(lengths), "the pass that judges"
    assert sizes[3] <= KEEP


def batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    original = decoder.decode

    def decode(model: Any, ids: Tensor, *rest: Any) -> Tensor:
        sizes.append(len(ids))
        return original(model, ids, *rest)

    monkeypatch.setattr(decoder, "decode", decode)
    return sizes


def test_contest_all_running_dropped_finishes_stable(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The six shortest settle at once, the others never and are behind."""
    lengths = range(1, KEEP + 3)
    rivals = [
        replace(own, stop=StableAndSure(0, 1e9) if place < KEEP else own.stop)
        for place, own in enumerate(rival_of(flat, length) for length in lengths)
    ]
    monkeypatch.setattr("dgls_engine.loop.seam.surprises", lambda *given: [float(len(draft)) for draft in given[2]])
    match = Contest(passes_for(flat), rivals, 0, Seam(NOISE), 0.0)
    *_, last = match.run(Schedule(8, 0.2, 0.6), Deadline(None), CancelToken())
    assert (last.index, last.finish, len(last.draft.ids)) == (2, "stable", 1)


TWICE = (Pinned("def f(x):\n    re"), Hole(max_tokens=6), Pinned("\n    y = "), Hole(max_tokens=4), Pinned("\nx"))


def ask(*segments: Hole | Pinned, seed: int = 0, **limits: int) -> InfillRequest:
    return InfillRequest(Context(above="import path\n"), segments or TWICE, Limits(**limits), seed)


@pytest.fixture
def searching(loaded: LoadedModel) -> Callable[[], Engine]:
    return lambda: Engine(replace(loaded, profile=replace(loaded.profile, hole_policy="batch")))


def run(engine: Engine, asked: InfillRequest) -> tuple[list[Step], Infill]:
    *steps, infill = engine.infill(asked)
    assert isinstance(infill, Infill)
    return steps, infill  # type: ignore[return-value]


def test_infill_several_holes_fills_them_in_turn(searching: Callable[[], Engine]) -> None:
    steps, infill = run(searching(), ask(max_steps=4))
    assert [step.index for step in steps] == list(range(1, infill.steps + 1))
    assert tuple(draft.text for draft in steps[-1].fills) == infill.texts
    assert all(len(step.fills) == 2 for step in steps)
    assert len(infill.fills) == 2
    assert infill.passes >= infill.steps
    for text, trials in ((fill.text, fill.trials) for fill in infill.fills):
        assert text == min(trials, key=lambda trial: trial.nats).text
        assert len(trials) <= KEEP
    settled = [step.fills[0].text for step in steps]
    assert settled[-1] == settled[-2] == infill.texts[0]


def test_infill_same_seed_gives_same_text(searching: Callable[[], Engine]) -> None:
    one, other = run(searching(), ask()), run(searching(), ask())
    assert one[0] == other[0]
    assert one[1].texts == other[1].texts


def test_infill_tried_length_never_contains_stop(searching: Callable[[], Engine]) -> None:
    hole = Hole(max_tokens=6, stop="e")
    for seed in range(3):
        _, infill = run(searching(), ask(Pinned("x = "), hole, Pinned("\n"), seed=seed, max_steps=3))
        assert "e" not in infill.texts[0]
        assert infill.hole_tokens == len(infill.fills[0].pieces)


def test_infill_typed_stop_can_be_healed(searching: Callable[[], Engine]) -> None:
    """The token in front of the hole is freed, and what must stand in its place begins with the stop."""
    infill = run(searching(), ask(Pinned("return"), Hole(max_tokens=2, stop="return"), Pinned("\n"), max_steps=2))[1]
    assert 0.0 <= infill.fills[0].probability <= 1.0


def test_infill_every_rival_keeps_pinned_text(
    loaded: LoadedModel, searching: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    original = decoder.decode
    monkeypatch.setattr(decoder, "decode", lambda model, ids, *rest: seen.append(ids) or original(model, ids, *rest))
    run(searching(), ask(Pinned("x = "), Hole(max_tokens=5), Pinned("\nvalue"), max_steps=3))
    before, after = loaded.tokenizer.encode("x ="), loaded.tokenizer.encode("\nvalue")
    assert len(seen[0]) == 5
    for ids in seen[0].tolist():
        assert ids[: len(before)] == before
        assert " ".join(map(str, after)) in " ".join(map(str, ids))


def test_cancel_before_judging_raises(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, cancel = batch_sizes(monkeypatch), CancelToken()
    running = contest(flat, LENGTHS).run(Schedule(2, 0.2, 0.6), Deadline(None), cancel)
    next(running)
    original = StableAndSure.settled

    def cancelling(*given: Any) -> bool:
        cancel.cancel()
        return original(*given)

    monkeypatch.setattr(StableAndSure, "settled", cancelling)
    with pytest.raises(Cancelled):
        next(running)
    assert len(sizes) == 2


@pytest.mark.parametrize("step", [1, 3])
def test_cancel_between_passes_raises(
    searching: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    sizes, cancel = batch_sizes(monkeypatch), CancelToken()
    running = searching().infill(ask(), cancel)
    for _ in range(step):
        next(running)
    cancel.cancel()
    taken = len(sizes)
    with pytest.raises(Cancelled):
        next(running)
    assert len(sizes) == taken


def test_infill_past_deadline_skips_judging_and_later_turns(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = batch_sizes(monkeypatch)
    model = replace(loaded, profile=replace(loaded.profile, hole_policy="batch"))
    steps, infill = run(Engine(model, clock=lambda: 0.010 * len(sizes)), ask(deadline_ms=9))
    assert (len(sizes), infill.steps, infill.passes, infill.finish) == (1, 1, 1, "deadline")
    assert infill.texts == tuple(draft.text for draft in steps[-1].fills)


def test_canvases_too_long_lengths_are_not_tried(flat: LoadedModel) -> None:
    engine = Engine(replace(flat, profile=replace(flat.profile, hole_policy="batch")))
    infill = run(engine, ask(Hole(max_tokens=400), max_steps=1))[1]
    assert infill.canvas_tokens <= flat.profile.canvas_tokens
    with pytest.raises(RequestTooLarge):
        run(engine, ask(Hole(min_tokens=300, max_tokens=400)))


def test_infill_revise_at_full_strength_uses_only_length(loaded: LoadedModel) -> None:
    """How an evaluation gives the true length away: two answers of one length are filled alike, the seam healed."""
    engine = Engine(replace(loaded, profile=replace(loaded.profile, hole_policy="fixed")))
    found = []
    for answer in ("turn(value", "turn(count"):
        hole = Hole(max_tokens=32, start=Revise(answer, 1.0), stop="\n")
        found.append(run(engine, ask(Pinned("x\n    re"), hole, Pinned("\n"), max_steps=4))[1])
    assert found[0].texts == found[1].texts
    assert found[0].hole_tokens == len(loaded.tokenizer.encode("return(value")) == 3
