"""Lengths that compete, drafts that are doubted and several holes at once, over a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from dgls_engine import Context, Hole, InfillRequest, Limits, Pinned
from dgls_engine.loop import doubt
from dgls_engine.loop import seam as local
from dgls_engine.loop.judged_rows import AFTER, TURNS
from dgls_engine.loop.leads import DROP_AT, KEEP
from dgls_engine.model.diffusion_gemma.passes import Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.remote.judging import doubted, doubts, seam
from dgls_engine.remote.rival import drawn, noise
from dgls_engine.remote.wire import Ask, Told
from dgls_engine.text.canvas import lay_out
from dgls_engine.text.length import ladder
from dgls_engine.text.opened import Opened
from dgls_engine.types import Resume, Revise
from dgls_engine.weights.loader import LoadedModel
from tests.remote.conftest import OpenRemote
from tests.remote.denoisers import Modelled
from tests.remote.fake_vllm import FakeVllm
from tests.remote.requests import request, run

Serve = Callable[[LoadedModel], FakeVllm]


def asked(hole: Hole, seed: int = 0, **limits: int) -> InfillRequest:
    segments = [Pinned("def read(path):\n    value = "), hole, Pinned("\n    return value\n")]
    return InfillRequest(Context(path="a.py"), segments, Limits(**limits), seed)


def test_infill_several_lengths_keeps_best(serve: Serve, connect: OpenRemote, chat: LoadedModel) -> None:
    server = serve(chat)
    engine = connect(server, chat.folder)
    steps, infill = run(engine, asked(Opened(max_tokens=12, healed=False), max_steps=5))
    allowed = [seen.body["vllm_xargs"]["diffusion_max_steps"] for seen in server.denoised]
    lengths = 9  # 1..8, 10, 12
    assert allowed.count(DROP_AT) >= lengths
    assert allowed.count(5) == KEEP
    assert len(infill.fills[0].trials) == KEEP
    best = min(infill.fills[0].trials, key=lambda trial: trial.nats)
    assert infill.texts[0] == best.text
    assert [step.index for step in steps] == [DROP_AT, 5]
    assert infill.passes == DROP_AT + 1 + 5 + 1


def test_remote_page_counts_requests_of_a_suggestion() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "remote.md").read_text(encoding="utf-8")
    requests = {most: 2 * (len(ladder(Hole(max_tokens=most))) + KEEP) for most in (48, 16)}
    assert f"takes {requests[48]} requests" in page
    assert f"16 tokens, {requests[16]} requests" in page


def test_infill_several_holes_fills_all(serve: Serve, connect: OpenRemote, embedded: LoadedModel) -> None:
    segments = [Pinned("def add(one, two):\n    return on"), Hole(max_tokens=8, stop="\n"), Pinned("\n\n\ndef sub(")]
    segments += [Hole(max_tokens=8, stop=")"), Pinned("):\n    return 1\n")]
    _, infill = run(connect(serve(embedded)), InfillRequest(Context(), segments, Limits(max_steps=8)))
    assert len(infill.fills) == 2
    assert all(0 <= fill.probability <= 1 for fill in infill.fills)
    assert ["".join(piece.text for piece in fill.pieces) for fill in infill.fills] == list(infill.texts)


def test_infill_refined_draft_keeps_undoubted_text(serve: Serve, connect: OpenRemote, embedded: LoadedModel) -> None:
    server = serve(embedded)
    draft = "total = sum(values) / len(values)"
    hole = Opened(start=Revise(draft, 0.2), healed=False)
    _, infill = run(connect(server), asked(hole, max_steps=6))
    once = [seen for seen in server.denoised if seen.body["vllm_xargs"]["diffusion_max_steps"] == 1]
    assert len(once) >= TURNS
    shared = sum(one == other for one, other in zip(infill.texts[0], draft, strict=False))
    assert shared >= 4


def test_infill_resume_starts_from_draft_and_blank_from_noise(embedded: LoadedModel) -> None:
    warm = Opened(max_tokens=8, start=Resume("return path"), healed=False)
    cold = replace(warm, start=Revise("return path", 1.0))
    before = Pinned("def read(path):\n    ")
    segments: list[Pinned | Hole] = [before, warm, Pinned("\n    "), cold, Pinned("\n")]
    canvas = lay_out(segments, embedded.tokenizer, embedded.profile, lambda *_: 8)
    _, other = canvas.holes
    ids, laid_out = drawn(canvas, 1, 4096).ids, canvas.ids
    assert ids[: other.start] == laid_out[: other.start]
    assert ids[other.start : other.end] != laid_out[other.start : other.end]
    assert ids[other.end :] == laid_out[other.end :]


def told(server: FakeVllm, asks: Sequence[Ask], prompt: Sequence[int]) -> list[Told]:
    found = []
    for ask in asks:
        ended = server.denoiser.denoise(prompt, ask.canvas, ask.pinned, ask.steps, lambda: False)
        assert ended is not None
        rows = [ended.logprobs(row, [ended.ids[row], *ask.wanted], 0) for row in range(ask.end)]
        own = tuple(row[id] for row, id in zip(rows, ended.ids, strict=False))
        found.append(Told(tuple(ended.ids[: len(rows)]), own, tuple(rows), None))
    return found


@pytest.mark.parametrize("length", [3, 40])
def test_seam_and_doubts_equal_local_engine(embedded: LoadedModel, length: int) -> None:
    """Not near: the same, but for the self-conditioning of pins, which the local engine leaves out here, too."""
    prompt = [1, 2, *embedded.tokenizer.encode("import os\n")]
    encoder = Encoder(prompt_factory(embedded.model))
    encoder.prefill(prompt)
    passes = Eager(embedded.model, encoder.cache.seen(), len(prompt), "never")
    hole = Opened(max_tokens=length, start=Revise("return path", 1.0), healed=False)
    canvas = lay_out(
        [Pinned("def read(path):\n    "), hole, Pinned("\n\n\nread(1)\n")],
        embedded.tokenizer,
        embedded.profile,
        lambda hole, drafted: length,
    )
    server = FakeVllm(Modelled(embedded), 96)
    draft = list(islice(noise(5, server.denoiser.vocabulary), length))
    behind = list(islice(noise(7, server.denoiser.vocabulary), AFTER))
    reading = seam(canvas, draft, 0, behind)
    ours = -sum(reading.of(told(server, reading.asks(prompt), prompt)).values())
    (theirs,) = local.surprises(passes, [canvas], [draft], 0, torch.tensor(behind))
    assert ours == pytest.approx(theirs, abs=1e-3)

    rows = list(range(canvas.holes[0].start, canvas.holes[0].start + 3))
    stream = list(islice(noise(3, server.denoiser.vocabulary), len(canvas.ids)))
    found: dict[int, float] = {}
    for one in doubted(canvas, rows, iter(stream)):
        found |= doubts(one, told(server, one.asks(prompt), prompt))
    theirs_too = doubt.doubts(passes, canvas, rows, torch.tensor(stream))
    assert [found[row] for row in rows] == pytest.approx(theirs_too, abs=1e-3)


def test_infill_steps_stay_within_max_steps(serve: Serve, connect: OpenRemote, flat: LoadedModel) -> None:
    server = serve(flat)
    _, infill = run(connect(server, flat.folder), request("def read(path):\n    return na", max_steps=1))
    assert {seen.body["vllm_xargs"]["diffusion_max_steps"] for seen in server.denoised} == {1}
    assert infill.steps == 1


def test_remote_engine_fills_a_hole_without_torch(serve: Serve, flat: LoadedModel) -> None:
    """Opened and used in a process of its own, against a server that runs here."""
    code = (
        "import sys; from pathlib import Path; from dgls_engine import Context, Hole, InfillRequest, Pinned;"
        "from dgls_engine.remote.address import Address; from dgls_engine.remote.engine import RemoteEngine;"
        "engine = RemoteEngine.open(Address(sys.argv[1]), Path(sys.argv[2]));"
        "*_, infill = engine.infill(InfillRequest(Context(), [Pinned('x = '), Hole(max_tokens=3), Pinned('\\n')]));"
        "print(len(infill.fills), sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, serve(flat).url, str(flat.folder)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert printed.strip() == "1 []"
