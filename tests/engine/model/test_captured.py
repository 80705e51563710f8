"""Captured passes match `Eager`, and few captures serve all requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from dgls_engine import Context, Engine, Hole, Infill, InfillRequest, Limits, Pinned, Step
from dgls_engine.model.batches import stacked
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.captured import BATCHES, GRAPHS, Captured, Work, run_again
from dgls_engine.model.diffusion_gemma.passes import Decoding, Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.model.widths import WIDTHS, width_for
from dgls_engine.profile import HolePolicy
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.types import Resume, Revise
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import SLIDING_WINDOW, raw_checkpoint
from tests.engine.reference import prompt_of

PROMPTS = (3, SLIDING_WINDOW // 2, 3 * SLIDING_WINDOW)
CANVAS = 256


def traced(work: Work) -> Work:
    """A graph without a GPU: it repeats the tensor operations with the Python values of the first run."""
    graph = make_fx(work)()
    return lambda: graph()


class Recorder:
    """Captures nothing, but counts the captures, and can fail."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.captured = 0
        self.error: Exception | None = None

    def __call__(self, work: Work) -> Work:
        self.captured += 1
        if self.error is not None:
            raise self.error
        return work


def captured_by(loaded: LoadedModel, recorder: Recorder) -> Captured:
    return Captured(loaded.model, CANVAS, open_capture=lambda device: recorder)


def encoder_of(loaded: LoadedModel, tokens: int) -> Encoder:
    encoder = Encoder(prompt_factory(loaded.model))
    encoder.prefill(prompt_of(loaded, tokens, seed=tokens))
    return encoder


def reference(loaded: LoadedModel, encoder: Encoder) -> Eager:
    return Eager(loaded.model, encoder.cache.seen(), len(encoder.ids))


def canvases(loaded: LoadedModel, lengths: Sequence[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """ids [B, C] and a signal [B, C, D] of canvases with these lengths."""
    generator = torch.Generator().manual_seed(seed)
    size = loaded.model.config.get_text_config().vocab_size
    ids = stacked(
        [torch.randint(3, size, (length,), generator=generator).tolist() for length in lengths], loaded.device
    )
    return ids, decoder.embed(loaded.model, ids.flip(1)).detach()


@torch.inference_mode()
def same(
    one: Decoding, other: Decoding, given: tuple[Tensor, Tensor | None], lengths: Sequence[int], within: float = 1e-4
) -> bool:
    """Whether both give the same hidden states outside the padding."""
    hidden, expected = (passes.hidden(*given, lengths).clone() for passes in (one, other))
    assert hidden.shape == expected.shape
    parts = zip(hidden, expected, lengths, strict=True)
    return all(torch.allclose(left[:length], right[:length], atol=within) for left, right, length in parts)


LENGTHS = [(40,), (64,), (70,), (5, 33, 64), (30, 90, 200, 256, 41), tuple(range(20, 37)), tuple(range(60, 93))]


@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)} to {max(lengths)}")
@pytest.mark.parametrize("signal", [True, False], ids=["a signal", "no signal"])
def test_captured_pass_matches_eager(loaded: LoadedModel, lengths: tuple[int, ...], signal: bool) -> None:
    """One object, behind one prompt after the other."""
    fixed = Captured(loaded.model, CANVAS, open_capture=lambda device: run_again)
    ids, soft = canvases(loaded, lengths)
    encoder = Encoder(prompt_factory(loaded.model))
    for tokens in PROMPTS:
        encoder.prefill(prompt_of(loaded, tokens, seed=tokens))
        plain = reference(loaded, encoder)
        assert same(fixed.passes_after(encoder.cache), plain, (ids, soft if signal else None), lengths)


@pytest.mark.parametrize("lengths", [(40,), (5, 33, 64)], ids=["one", "several"])
def test_captured_trace_serves_all_prompts(flat: LoadedModel, lengths: tuple[int, ...]) -> None:
    fixed, encoder = (
        Captured(flat.model, CANVAS, open_capture=lambda device: traced),
        Encoder(prompt_factory(flat.model)),
    )
    for tokens in PROMPTS:
        encoder.prefill(prompt_of(flat, tokens, seed=tokens))
        given = canvases(flat, lengths, seed=tokens)
        assert same(fixed.passes_after(encoder.cache), reference(flat, encoder), given, lengths)


def test_captured_pass_is_independent_of_earlier_passes(loaded: LoadedModel) -> None:
    """Bit for bit: old values in the padding would still choose experts."""
    encoder = encoder_of(loaded, 3 * SLIDING_WINDOW)
    given, lengths = canvases(loaded, (20, 31, 9)), (20, 31, 9)
    fresh = captured_by(loaded, Recorder()).passes_after(encoder.cache)
    used = captured_by(loaded, Recorder()).passes_after(encoder.cache)
    with torch.inference_mode():
        for others in ((250,), (60, 61, 62, 63), (10, 20, 30, 40, 50, 60, 70)):
            used.hidden(*canvases(loaded, others, seed=1), others)
        assert torch.equal(fresh.hidden(*given, lengths), used.hidden(*given, lengths))
        used.hidden(given[0], None, lengths)
        assert torch.equal(fresh.hidden(*given, lengths), used.hidden(*given, lengths))


def test_captured_shape_is_captured_once_for_all_prompts(flat: LoadedModel) -> None:
    recorder = Recorder()
    fixed, encoder = captured_by(flat, recorder), Encoder(prompt_factory(flat.model))
    with torch.inference_mode():
        for tokens in PROMPTS:
            encoder.prefill(prompt_of(flat, tokens, seed=1))
            for lengths in ((40,), (64,), (3, 50), (50, 64), (70, 90)):
                fixed.passes_after(encoder.cache).hidden(*canvases(flat, lengths), lengths)
    assert recorder.captured == 3


def test_prepare_shape_is_not_captured_again(flat: LoadedModel) -> None:
    recorder, encoder = Recorder(), Encoder(prompt_factory(flat.model))
    fixed = captured_by(flat, recorder).passes_after(encoder.cache)
    fixed.prepare(15, 193)
    assert recorder.captured == 1
    encoder.prefill([1, 2, 3])
    lengths = (200,) * 13
    with torch.inference_mode():
        fixed.passes_after(encoder.cache).hidden(*canvases(flat, lengths), lengths)
    assert recorder.captured == 1


def test_behind_other_buffers_drops_captures(flat: LoadedModel) -> None:
    recorder, given = Recorder(), canvases(flat, (40,))
    fixed = captured_by(flat, recorder)
    for taken in (1, 2):
        encoder = encoder_of(flat, 2 * SLIDING_WINDOW)
        assert same(fixed.passes_after(encoder.cache), reference(flat, encoder), given, (40,))
        assert recorder.captured == taken


def test_forget_opens_a_new_capture(flat: LoadedModel) -> None:
    """CUDA cannot use a pool again after all its graphs are gone."""
    opened: list[Recorder] = []

    def open_capture(device: torch.device) -> Recorder:
        opened.append(Recorder())
        return opened[-1]

    fixed = Captured(flat.model, CANVAS, open_capture=open_capture)
    for tokens in (4, 5):
        fixed.passes_after(encoder_of(flat, tokens).cache).prepare(1, 40)
    assert [recorder.captured for recorder in opened if recorder.captured] == [1, 1]


def test_captured_too_many_shapes_keeps_the_last_used(flat: LoadedModel) -> None:
    recorder = Recorder()
    fixed = captured_by(flat, recorder).passes_after(encoder_of(flat, 4).cache)
    shapes = [(batch, width) for width in WIDTHS for batch in BATCHES][: GRAPHS + 1]
    for batch, width in (*shapes[:-1], shapes[0], shapes[-1]):
        fixed.prepare(batch, width)
    assert recorder.captured == GRAPHS + 1
    fixed.prepare(*shapes[0])
    assert recorder.captured == GRAPHS + 1
    fixed.prepare(*shapes[1])
    assert recorder.captured == GRAPHS + 2


def test_captured_failure_runs_eager_and_warns_once(loaded: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    recorder, encoder = Recorder(), encoder_of(loaded, 3 * SLIDING_WINDOW)
    recorder.error = RuntimeError("CUDA error: operation not permitted when stream is capturing")
    fixed, plain = captured_by(loaded, recorder).passes_after(encoder.cache), reference(loaded, encoder)
    given = canvases(loaded, (9, 30))
    with torch.inference_mode():
        for _ in range(3):
            assert torch.equal(fixed.hidden(*given, (9, 30)), plain.hidden(*given, (9, 30)))
    assert recorder.captured == len(caplog.records) == 1
    assert "2 canvases of 64 tokens" in caplog.text
    recorder.error = None
    assert same(fixed, plain, canvases(loaded, (70,)), (70,))
    assert recorder.captured == 2


def test_width_for_takes_next_width_up_to_canvas_tokens() -> None:
    assert [width_for(tokens, 256) for tokens in (1, 64, 65, 129, 193, 256)] == [64, 64, 96, 192, 256, 256]
    assert [width_for(tokens, 100) for tokens in (30, 70, 97)] == [64, 96, 100]
    assert [width_for(tokens, 48) for tokens in (30, 48)] == [48, 48]
    assert width_for(300, 512) == 512


ASKED = {
    "holes": (Pinned("def f(x):\n    re"), Hole(max_tokens=6), Pinned("\n    y = "), Hole(max_tokens=4), Pinned("\nx")),
    "a draft": (Pinned("x = "), Hole(start=Revise("turn(value, count)", 0.4)), Pinned("\n")),
    "a draft to resume": (Pinned("x = re"), Hole(start=Resume("turn(value)")), Pinned("\n"), Hole(max_tokens=3)),
}


def ask(segments: tuple[Pinned | Hole, ...]) -> InfillRequest:
    return InfillRequest(Context(above="import path\n" * 9), segments, Limits(max_steps=5))


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize(
    ("model", "policy"),
    [("peaked", "pad"), ("flat", "batch"), ("peaked", "batch"), ("chat", "batch"), ("chat", "fixed")],
)
def test_engine_captured_gives_same_answer_as_eager(
    request: pytest.FixtureRequest, model: str, policy: HolePolicy, asked: tuple[Pinned | Hole, ...]
) -> None:
    loaded: LoadedModel = request.getfixturevalue(model)
    loaded = replace(loaded, profile=replace(loaded.profile, hole_policy=policy))
    (*steps, infill), (*others, other) = (
        list(Engine(loaded, captured=captured).infill(ask(asked))) for captured in (True, False)
    )
    assert isinstance(infill, Infill)
    assert isinstance(other, Infill)
    assert (infill.texts, infill.passes, infill.finish) == (other.texts, other.passes, other.finish)
    assert [fill.probability for fill in infill.fills] == pytest.approx(
        [fill.probability for fill in other.fills], rel=1e-3
    )
    for mine, theirs in zip(steps, others, strict=True):
        assert isinstance(mine, Step)
        assert isinstance(theirs, Step)
        assert [draft.text for draft in mine.fills] == [draft.text for draft in theirs.fills]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)} to {max(lengths)}")
def test_captured_graph_matches_eager(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lengths: tuple[int, ...]
) -> None:
    on_gpu = load(raw_checkpoint(tmp_path), "cuda")
    fixed, encoder, given = (
        Captured(on_gpu.model, CANVAS),
        Encoder(prompt_factory(on_gpu.model)),
        canvases(on_gpu, lengths),
    )
    for tokens in PROMPTS:
        encoder.prefill(prompt_of(on_gpu, tokens, seed=tokens))
        for _ in range(2):
            # The kernel multiplies in TF32.
            assert same(fixed.passes_after(encoder.cache), reference(on_gpu, encoder), given, lengths, within=1e-2)
    assert not caplog.records, "a capture failed"
