"""Several fills of one hole, and revisions: the least surprising one is the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned
from dgls_engine.loop.continuation import AFTER, KEPT, Continuation, Revision
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, Span, Spilled
from dgls_engine.types import Revise
from dgls_engine.weights.loader import LoadedModel
from tests.engine.masked.slow import mask_of
from tests.engine.test_laws import ABOVE, run


def drawing(loaded: LoadedModel, seed: int = 0) -> Any:
    engine = Engine(replace(loaded, profile=replace(loaded.profile, hole_policy="draws", unmask_threshold=1.0)))
    hole = Hole(max_tokens=5, stop="\n")
    asked = InfillRequest(Context(above=ABOVE, below="y = 2\n"), [Pinned("x = "), hole, Pinned("\n")], seed=seed)
    return run(engine, asked)[1]


def test_draws_answer_is_the_least_surprising_of_several_fills(loaded: LoadedModel) -> None:
    trials = [drawing(loaded, seed).fills[0].trials for seed in range(4)]
    assert any(len({trial.text for trial in tried}) > 1 for tried in trials)
    for seed, tried in enumerate(trials):
        answer = drawing(loaded, seed).fills[0]
        assert answer.trials == tried, "the same seed gives the same fills"
        if tried:
            assert answer.text == min(tried, key=lambda trial: trial.nats).text


def test_draws_one_of_them_is_the_likeliest_token_by_token(loaded: LoadedModel) -> None:
    engine = Engine(replace(loaded, profile=replace(loaded.profile, unmask_threshold=1.0)))
    hole = Hole(max_tokens=5, stop="\n")
    asked = InfillRequest(Context(above=ABOVE, below="y = 2\n"), [Pinned("x = "), hole, Pinned("\n")])
    greedy = run(engine, asked)[1].texts[0]
    answers = [drawing(loaded, seed).fills[0] for seed in range(4)]
    assert any(greedy in {answer.text, *(trial.text for trial in answer.trials)} for answer in answers)


def test_continuation_nats_are_those_of_the_model_without_adapter(loaded: LoadedModel) -> None:
    tokenizer = loaded.tokenizer
    model = loaded.family.open(loaded.model, loaded.profile, tokenizer.specials)
    prompt, lead = tokenizer.encode(ABOVE), tokenizer.encode("x")
    encoder: Encoder[Any] = Encoder(model.new_prompt)
    encoder.prefill(prompt)
    drafts = [tokenizer.encode(" = path\nreturn"), tokenizer.encode(" = f\n")]
    canvases = [
        Canvas((*lead, *draft), (Span(len(lead), len(lead) + len(draft), stop="\n"),), Spilled(after="\nreturn key\n"))
        for draft in drafts
    ]
    judge = Continuation(tokenizer, mask_of(loaded))
    found = judge.nats(model.passes_after(encoder.cache), canvases, drafts, 0)
    base: Any = AutoModelForCausalLM.from_pretrained(loaded.folder, local_files_only=True)
    for fill, nats in zip((" = path", " = f"), found, strict=True):
        counted = len(tokenizer.encode(fill)) + AFTER
        text = tokenizer.encode(fill + "\nreturn key\n")[:counted]
        ids = torch.tensor([[*prompt, *lead, *text]])
        with torch.no_grad():
            likely = base(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[-len(text) :]
        assert nats == pytest.approx(-float(likely.sum()), abs=1e-2)


@pytest.mark.parametrize("strength", [0.2, 0.9])
@pytest.mark.parametrize(("kept", "changes"), [(1e6, False), (-1e6, True)])
def test_revise_text_that_stands_stays_unless_the_fill_is_likelier(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, strength: float, kept: float, changes: bool
) -> None:
    monkeypatch.setattr("dgls_engine.loop.continuation.KEPT", kept)
    hole = Hole(max_tokens=16, start=Revise("value = index + count", strength))
    asked = InfillRequest(Context(above=ABOVE, below="\ny = 2\n"), [Pinned(""), hole, Pinned("")])
    _, infill = run(Engine(llama), asked)
    assert (infill.texts[0] != "value = index + count") == changes
    assert infill.finish == "stable"


def test_revision_of_text_that_stands_has_fewer_nats_at_a_low_strength(llama: LoadedModel) -> None:
    tokenizer = llama.tokenizer
    model = llama.family.open(llama.model, llama.profile, tokenizer.specials)
    encoder: Encoder[Any] = Encoder(model.new_prompt)
    encoder.prefill(tokenizer.encode(ABOVE))
    lead, stands, other = (tokenizer.encode(text) for text in ("x = ", "path", "key"))
    size = max(len(stands), len(other)) + 1
    drafts = [[*ids, *[tokenizer.pad_id] * (size - len(ids))] for ids in (stands, other)]
    spans = (Span(len(lead), len(lead) + size, expected=tuple(stands), strength=0.25, stands=True),)
    canvases = [Canvas((*lead, *draft), spans, Spilled(after="\n")) for draft in drafts]
    plain, revision = (
        kind(tokenizer, mask_of(llama)).nats(model.passes_after(encoder.cache), canvases, drafts, 0)
        for kind in (Continuation, Revision)
    )
    assert revision == pytest.approx([plain[0] - KEPT * 0.75, plain[1]])
