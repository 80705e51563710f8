"""Steps with the kernels: the same drafts as the plain path, draws by the same probabilities, and the same laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from dgls_engine.text.opened import Opened

pytest.importorskip("triton", reason="needs Triton, which the extra `kernels` brings")

from dgls_engine import Engine, Hole, Infill, InfillRequest, Limits, Pinned
from dgls_engine.device import no_waits
from dgls_engine.loop.choice import Fused, Plain
from dgls_engine.loop.constraint import Constraint, Vocabulary
from dgls_engine.loop.denoise import Rival, Survivors, denoise
from dgls_engine.loop.leads import Draft
from dgls_engine.loop.sampler import Sampler
from dgls_engine.loop.stopping import Deadline, Schedule, StableAndSure
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import Eager, SoftCappedHead
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import lay_out
from dgls_engine.text.length import Batch, Pad
from dgls_engine.types import CancelToken, Context
from dgls_engine.weights.loader import LoadedModel
from tests.engine.conftest import flat, loaded, peaked
from tests.engine.reference import prompt_of, tensors_of

__all__ = ["flat", "loaded", "peaked"]

TEMPERATURE = 0.6


def rivals_of(loaded: LoadedModel, lengths: Sequence[int]) -> list[Rival]:
    vocabulary = Vocabulary(loaded.tokenizer, loaded.model.config.text_config.vocab_size, loaded.device)
    made = []
    for length in lengths:
        hole = Opened(length, length, expected="value(")
        canvas = lay_out(
            [Pinned("def f(x):\n    re"), hole, Pinned("\n    value\n")],
            loaded.tokenizer,
            loaded.profile,
            Batch().positions,
        )
        made.append(
            Rival(
                canvas,
                Sampler(vocabulary.size, 0.5, torch.Generator(loaded.device).manual_seed(length)),
                StableAndSure(1, 0.05),
                Constraint.of(canvas, vocabulary, pads=False, stops=False),
            )
        )
    return made


def choosers(loaded: LoadedModel, lengths: Sequence[int]) -> tuple[Plain, Fused, Tensor]:
    """The plain and the fused choosing, and hidden states for them."""
    rivals = rivals_of(loaded, lengths)
    own = [one.sampler for one in rivals], [one.constraint for one in rivals]
    width = loaded.model.config.text_config.hidden_size
    hidden = torch.randn(sum(lengths), width, generator=torch.Generator().manual_seed(2))
    head = SoftCappedHead(loaded.model)
    return Plain(head, *own), Fused(head, *own), hidden.to(loaded.device)


@torch.inference_mode()
def test_fused_report_matches_plain(loaded: LoadedModel) -> None:
    plain, fused, hidden = choosers(loaded, [2, 5])
    expected, found = (chooser.choose(hidden, 1, TEMPERATURE) for chooser in (plain, fused))
    assert found.report()[0] == expected.report()[0]
    for ours, theirs in zip(found.report()[1:], expected.report()[1:], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("on", [[0], [1, 2], [0, 1, 2]])
def test_fused_kept_rivals_get_own_signal(flat: LoadedModel, on: list[int]) -> None:
    """The signal matches the plain path. The draws differ, so only the number of kept tokens is compared."""
    lengths = [2, 5, 1]
    plain, fused, hidden = choosers(flat, lengths)
    expected, found = (chooser.choose(hidden, 1, TEMPERATURE).advance(on) for chooser in (plain, fused))
    assert torch.allclose(found[1], expected[1], atol=1e-4)
    assert len(found[0]) == len(expected[0]) == sum(lengths[number] for number in on)
    whole = fused.choose(hidden, 1, TEMPERATURE).advance([0, 1, 2])[0].split_with_sizes(lengths)
    assert torch.equal(found[0], torch.cat([whole[number] for number in on]))


def denoised(loaded: LoadedModel, lengths: Sequence[int], survivors: Survivors | None = None) -> dict[int, list[Draft]]:
    encoder = Encoder(prompt_factory(loaded.model))
    encoder.prefill(prompt_of(loaded, 20, seed=0))
    found: dict[int, list[Draft]] = {length: [] for length in lengths}
    for steps in denoise(
        Eager(loaded.model, encoder.cache.seen(), 20),
        rivals_of(loaded, lengths),
        schedule=Schedule(4, 0.2, 0.6),
        deadline=Deadline(None),
        cancel=CancelToken(),
        survivors=survivors,
        choosing=Fused,
    ):
        for step in steps:
            found[lengths[step.rival]].append(step)
    return found


def test_denoise_fused_length_in_batch_equals_alone(loaded: LoadedModel) -> None:
    steps = count(1)
    together = denoised(loaded, [1, 4, 6], survivors=lambda drafts: {0, 2} if next(steps) > 1 else {0, 1, 2})
    for length in (1, 6):
        alone = denoised(loaded, [length])[length]
        assert [step.ids for step in together[length]] == [step.ids for step in alone]
        for one, other in zip(together[length], alone, strict=True):
            assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-3)


@pytest.fixture
def fused(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Engine]:
    monkeypatch.setattr("dgls_engine.loop.noise.choosing_on", lambda device: Fused)
    return lambda: Engine(loaded)


def run(engine: Engine, seed: int = 0) -> tuple[list[tuple[str, ...]], Infill]:
    segments = [Pinned("def read(path):\n    pri"), Hole(max_tokens=4), Pinned("\n    return "), Hole(max_tokens=3)]
    asked = InfillRequest(Context(above="import path\n"), [*segments, Pinned("\n\nclass")], Limits(max_steps=4), seed)
    *steps, infill = engine.infill(asked)
    assert isinstance(infill, Infill)
    return [tuple(draft.text for draft in step.fills) for step in steps], infill  # type: ignore[union-attr]


def test_law_1_pinned_tokens_are_the_same_at_every_step(
    loaded: LoadedModel, fused: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    original = decoder.decode

    def decode(model: Any, ids: Tensor, *rest: Any) -> Tensor:
        seen.append(ids[0].clone())
        return original(model, ids, *rest)

    monkeypatch.setattr(decoder, "decode", decode)
    run(fused())
    segments = [Pinned("def read(path):\n    pri"), Hole(max_tokens=4), Pinned("\n    return "), Hole(max_tokens=3)]
    canvas = lay_out([*segments, Pinned("\n\nclass")], loaded.tokenizer, loaded.profile, Pad().positions)
    assert len(seen) > 1
    laid, pinned = tensors_of(canvas)
    for ids in seen:
        assert torch.equal(ids.cpu()[pinned], laid[pinned])
    assert any(not torch.equal(ids, seen[0]) for ids in seen)


def test_law_2_same_seed_same_text(fused: Callable[[], Engine]) -> None:
    (drafts, infill), (again, other) = run(fused()), run(fused())
    assert drafts == again
    assert infill.fills == other.fills
    assert run(fused(), seed=1)[1].texts != infill.texts


@pytest.mark.gpu
@pytest.mark.parametrize("lengths", [[8], [16, 24, 32]])
def test_fused_step_full_size_has_no_host_sync(lengths: list[int]) -> None:
    """With 262,144 tokens in bfloat16: the figures of the plain path, without a host sync."""
    device = torch.device("cuda")
    size, width, rows = 262_144, 512, sum(lengths)
    generator = torch.Generator(device).manual_seed(0)

    table: Any = torch.nn.Linear(width, size, bias=False, device=device, dtype=torch.bfloat16)
    table.weight.data.normal_(0, 0.1, generator=generator)
    table.embed_scale = torch.ones((), device=device)
    decoding = SimpleNamespace(decoder=SimpleNamespace(embed_tokens=table))
    model: Any = SimpleNamespace(lm_head=table, final_logit_softcapping=30.0, device=device, model=decoding)
    samplers = [Sampler(size, 0.1, torch.Generator(device).manual_seed(length)) for length in lengths]
    constraints = [Constraint.none(length, size, device) for length in lengths]
    hidden = torch.randn(rows, width, device=device, dtype=torch.bfloat16, generator=generator)
    plain, fused = (
        Plain(SoftCappedHead(model), samplers, constraints),
        Fused(SoftCappedHead(model), samplers, constraints),
    )
    with torch.inference_mode():
        expected = plain.choose(hidden, 1, TEMPERATURE)
        fused.choose(hidden, 1, TEMPERATURE).report()  # compiled
        torch.cuda.synchronize()
        with no_waits():
            found = fused.choose(hidden, 1, TEMPERATURE)
        likely = (decoder.logits(model, hidden) / TEMPERATURE).softmax(-1)
        signal = decoder.mean_embeddings(model, likely.to(torch.bfloat16)).float()
        assert found.report()[0] == expected.report()[0]
        for ours, theirs in zip(found.report()[1:], expected.report()[1:], strict=True):
            assert ours == pytest.approx(theirs, abs=2e-3)
        assert torch.allclose(found.advance(range(len(lengths)))[1].float(), signal, atol=2e-3, rtol=0.02)
