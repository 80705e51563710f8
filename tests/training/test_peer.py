"""Laws of the autoregressive peer: it sees what the denoiser sees, and fills as its own forward passes say."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from dgls_engine.errors import Cancelled, EngineClosed, EngineError
from dgls_engine.model.diffusion_gemma.causal import CausalEncoder
from dgls_engine.model.diffusion_gemma.decoder import encode, encoder_masks, logits
from dgls_engine.peer import Markers, Peer, is_peer, mark_as_peer
from dgls_engine.prompt.formats import RawPrompt
from dgls_engine.text.canvas import lay_out
from dgls_engine.text.length import Pad
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import CancelToken, Context, Hole, Infill, InfillRequest, Limits, Pinned, Step
from dgls_training.architecture import Architecture, new_model, peer_of
from dgls_training.corpus import Source
from dgls_training.examples import Cutter, Example, Sizes
from dgls_training.export import export, profile_of
from dgls_training.next_token import NextToken
from dgls_training.tokenizer import train_tokenizer

SIZES = Sizes(prompt=48, canvas=64, hole=32)
TEXT = "".join(f"def add_{i}(left, right):\n    return left + right * {i}\n\n" for i in range(12))
NUMBERS = (3, 5, 8)
REQUEST = InfillRequest(
    Context(above="def first():\n    pass\n\n", below="\n\ndef last():\n    pass\n"),
    [Pinned("def add(left, right):\n    ret"), Hole(max_tokens=12, stop="\n"), Pinned("\n\nadd(1, 2)\n")],
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([Source("made-up", "MIT", "made_up.py", TEXT)], 320, folder)
    return Tokenizer(folder / "tokenizer.json")


def request_of(number: int) -> InfillRequest:
    """For a hole in TEXT whose text is ` right * number`."""
    before, after = TEXT.split(f" right * {number}\n")
    segments = [Pinned(before[-50:]), Hole(stop="\n"), Pinned("\n" + after[:40])]
    return InfillRequest(Context(above=before[:-50], below=after[40:]), segments)


@pytest.fixture(scope="module")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A peer that learnt a few answers by heart."""
    profile, examples = profile_of(SIZES), []
    for number in NUMBERS:
        request = request_of(number)
        prompt = RawPrompt(tokenizer, profile.max_prompt_tokens).encode(request.context)
        canvas = lay_out(request.segments, tokenizer, profile, Pad().positions)
        [span], ids = canvas.holes, list(canvas.ids)
        answer = tokenizer.encode(span.freed.decode() + f" right * {number}")
        whole = [*ids[: span.start], *answer, *ids[span.end :]]
        examples.append(Example(prompt, whole, span.start, span.start + len(answer), ""))
    model = new_model(peer_of(Architecture.of(tokenizer.size, hidden=32, layers=2)), seed=0)
    objective, optimizer = NextToken(Markers.of(tokenizer)), torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = objective.collate(examples)
    for _ in range(150):
        objective.loss(model, batch, torch.Generator()).backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("peer")
    export(model, tokenizer.path.parent, folder, profile)
    mark_as_peer(folder)
    return folder


@pytest.fixture
def peer(folder: Path) -> Peer:
    return Peer.open(folder, "cpu", "float32")


def infill(peer: Peer, request: InfillRequest) -> tuple[list[Step], Infill]:
    *steps, last = peer.infill(request)
    assert isinstance(last, Infill)
    return [step for step in steps if isinstance(step, Step)], last


def test_peer_of_matches_denoisers_parameter_count() -> None:
    shape = Architecture()
    denoiser = sum(parameter.numel() for parameter in new_model(shape, seed=0).parameters())
    assert abs(CausalEncoder(new_model(peer_of(shape), seed=0)).parameters / denoiser - 1) < 0.01


def test_collate_example_orders_prefix_suffix_middle(tokenizer: Tokenizer) -> None:
    cutter, rng = Cutter([Source("made-up", "MIT", "made_up.py", TEXT)], tokenizer, SIZES), random.Random(0)
    markers = Markers.of(tokenizer)
    for _ in range(50):
        example = cutter.draw(rng, "lines")
        batch = NextToken(markers).collate([example])
        ids = batch.ids[0].tolist()
        below, middle = ids.index(markers.below), ids.index(markers.middle)
        prefix, suffix, fill = ids[1:below], ids[below + 1 : middle], ids[middle + 1 :]
        assert ids[0] == markers.above
        assert fill[-1] == markers.end
        assert tokenizer.decode([*prefix, *fill, *suffix]) in TEXT
        assert batch.tokens == len(ids) <= SIZES.prompt + SIZES.canvas + 2
        assert batch.fill[0].tolist() == [False] * (middle + 1) + [True] * len(fill)


def test_loss_padded_batch_equals_unpadded(tokenizer: Tokenizer) -> None:
    model = new_model(Architecture.of(tokenizer.size, hidden=32, layers=2), seed=0)
    cutter, rng = Cutter([Source("made-up", "MIT", "made_up.py", TEXT)], tokenizer, SIZES), random.Random(0)
    objective, generator = NextToken(Markers.of(tokenizer)), torch.Generator()
    long = cutter.draw(rng, "rest-of-line")
    short = replace(long, prompt=[*long.prompt[:1], objective.markers.above])
    alone = [objective.collate([example]) for example in (long, short)]
    sums = [objective.loss(model, batch, generator) * (batch.tokens - 1) for batch in alone]
    together = objective.collate([long, short])
    mean = sum(sums) / (together.tokens - 2)
    torch.testing.assert_close(objective.loss(model, together, generator), mean, atol=1e-4, rtol=1e-4)


def test_peer_infill_takes_likeliest_allowed_token(peer: Peer, folder: Path, tokenizer: Tokenizer) -> None:
    steps, answer = infill(peer, REQUEST)
    markers, loaded = Markers.of(tokenizer), peer._loaded
    assert loaded is not None
    before, after = tokenizer.encode("def add(left, right):\n    ret"), tokenizer.encode("\n\nadd(1, 2)\n")
    freed = tokenizer.token_bytes(before[-1])
    assert len(tokenizer.extending(freed)) > 1
    ids = markers.given(peer._prompt.encode(REQUEST.context), before[:-1], after)
    text = b""
    for index in range(len(steps)):
        with torch.no_grad():  # without a cache, from the start
            masks = encoder_masks(0, len(ids), 512, torch.device("cpu"))
            row = logits(loaded.model, encode(loaded.model, torch.tensor([ids]), DynamicCache(), masks))[0, -1]
        allowed = [id for id in range(tokenizer.size) if tokenizer.token_bytes(id) or id == markers.end]
        if index == 0:
            allowed = tokenizer.extending(freed)
        best = max(allowed, key=lambda id: row[id].item())
        ids.append(best)
        text += tokenizer.token_bytes(best)
    assert text.decode().split("\n")[0] == freed.decode() + answer.texts[0]
    assert [step.index for step in steps] == list(range(1, answer.steps + 1))


@pytest.mark.parametrize("number", NUMBERS)
def test_peer_infill_reproduces_learnt_text(number: int, peer: Peer) -> None:
    _, answer = infill(peer, request_of(number))
    assert answer.texts == (f" right * {number}",)
    assert answer.finish == "stable"
    assert "".join(piece.text for piece in answer.fills[0].pieces) == answer.texts[0]
    assert answer.fills[0].probability == pytest.approx(
        math.prod(piece.probability for piece in answer.fills[0].pieces)
    )


def test_peer_infill_limits_end_fill(peer: Peer) -> None:
    _, answer = infill(peer, replace(REQUEST, limits=Limits(max_steps=1)))
    assert (answer.steps, answer.finish) == (1, "steps")
    _, answer = infill(peer, replace(REQUEST, limits=Limits(deadline_ms=0)))
    assert (answer.steps, answer.finish) in [(1, "deadline"), (1, "stable")]


def test_peer_infill_cancelled_or_impossible_request_raises(peer: Peer) -> None:
    filling = peer.infill(REQUEST, cancel := CancelToken())
    next(filling)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(filling)
    with pytest.raises(EngineError, match="one hole, not 2"):
        next(peer.infill(InfillRequest(Context(), [Hole(max_tokens=8), Pinned("x"), Hole(max_tokens=8)])))
    peer.close()
    with pytest.raises(EngineClosed):
        next(peer.infill(REQUEST))


def test_is_peer_requires_marker_file(folder: Path, tmp_path: Path) -> None:
    assert is_peer(folder)
    assert not is_peer(tmp_path)
    with pytest.raises(EngineError, match="no autoregressive peer"):
        Peer.open(tmp_path)
