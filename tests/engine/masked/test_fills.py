"""How fills begin and end, and what is kept of a text that stands."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned
from dgls_engine.types import Beginning, Blank, Infill, Resume, Revise, Start
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import masked_checkpoint
from tests.engine.test_laws import ABOVE, run


def test_causal_reads_as_the_model_without_adapter(loaded: LoadedModel) -> None:
    ids = list(range(5, 25))
    base: Any = AutoModelForCausalLM.from_pretrained(loaded.folder, local_files_only=True)
    causal = loaded.family.causal(loaded.model)
    causal.read(ids[:12])
    with torch.no_grad():
        assert torch.allclose(causal.read(ids[12:]), base(torch.tensor([ids])).logits[0, -1], atol=1e-3)
    assert causal.parameters == sum(weight.numel() for weight in base.parameters())


def test_fill_ends_before_its_stop(loaded: LoadedModel) -> None:
    asked = InfillRequest(Context(above=ABOVE), [Pinned("x = "), Hole(max_tokens=12, stop="e"), Pinned("\n")])
    _, infill = run(Engine(loaded), asked)
    assert "e" not in infill.texts[0]


def test_fill_does_not_begin_with_what_its_hole_avoids(llama: LoadedModel) -> None:
    avoid: tuple[str, ...] = ()
    for _ in range(4):
        asked = InfillRequest(Context(above=ABOVE), [Pinned("x ="), Hole(max_tokens=6, stop="\n", avoid=avoid)])
        fill = run(Engine(llama), asked)[1].fills[0]
        beginning = next((piece.text.strip() for piece in fill.pieces if piece.text.strip()), "")
        assert beginning not in avoid
        avoid = (*avoid, beginning)


@pytest.mark.parametrize("threshold", [1e-6, 1.0])
def test_fill_begins_in_one_of_the_ways_of_its_hole(llama: LoadedModel, threshold: float) -> None:
    engine = Engine(replace(llama, profile=replace(llama.profile, unmask_threshold=threshold)))
    words = frozenset({"if", "for", "while"})
    for number in range(6):
        hole = Hole(max_tokens=6, begins=(Beginning("  ", words), Beginning("", words, others=False)))
        asked = InfillRequest(Context(above=ABOVE + f"x{number} = 1\n"), [Pinned("\n"), hole, Pinned("\n")])
        text = run(engine, asked)[1].texts[0]
        beginning = re.match(r"([ \t]*)(\w*)", text)
        assert beginning is not None
        assert (beginning[1], beginning[2] in words) in {("", True), ("  ", False)}


@pytest.mark.parametrize("start", [Resume("path.read()"), Revise("path.read()", 0.4), Revise("path", 1.0)])
def test_start_text_is_taken(loaded: LoadedModel, start: Any) -> None:
    asked = InfillRequest(
        Context(above=ABOVE), [Pinned("x = "), Hole(max_tokens=12, stop="\n", start=start), Pinned("\n")]
    )
    _, infill = run(Engine(loaded), asked)
    assert infill.finish == "stable"


def test_resume_saves_steps_and_changes_no_token(tmp_path: Path) -> None:
    loaded = load(masked_checkpoint(tmp_path, sharpness=40.0, threshold=1.0), "cpu")

    def filled(start: Start) -> Infill:
        segments = [Pinned("x = "), Hole(max_tokens=12, start=start), Pinned("")]
        return run(Engine(loaded), InfillRequest(Context(above=ABOVE), segments))[1]

    blank = filled(Blank())
    resumed = filled(Resume(blank.texts[0]))
    assert resumed.texts == blank.texts
    assert resumed.steps <= blank.steps / 2
    assert filled(Resume("wrong" + blank.texts[0])).texts == blank.texts
