"""Every draft is that of the reference (law 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from dgls_engine.loop.lookup import MATCHED, Lookup
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import masked_checkpoint
from tests.engine.masked.slow import mask_of, ours, stock


@pytest.mark.parametrize(("seed", "tokens"), [(0, 2), (1, 40)])
@pytest.mark.parametrize("layout", ["?????????", "?????...", "..???.????."])
def test_law_3_every_draft_is_that_of_stock_modules(loaded: LoadedModel, seed: int, tokens: int, layout: str) -> None:
    """`layout`: undecided slots and pinned ones."""
    generator = torch.Generator().manual_seed(seed)
    prompt, pinned = (torch.randint(3, 400, (count,), generator=generator).tolist() for count in (tokens, len(layout)))
    slots = [mask_of(loaded) if slot == "?" else token for slot, token in zip(layout, pinned, strict=True)]
    expected = stock(loaded, prompt, slots, loaded.profile.unmask_threshold)
    progress = ours(loaded, prompt, slots)
    holes = [row for row, slot in enumerate(layout) if slot == "?"]
    assert [step.ids for step in progress] == [[step[row] for row in holes] for step in expected]
    assert progress[-1].finish in ("stable", "steps")


@pytest.mark.parametrize("layout", ["?????????", "..???.????", "?????...", "..???.????."])
@pytest.mark.parametrize("right", [0, 1, 2, 9], ids=lambda right: f"{right} right guesses a step")
def test_law_3_guesses_save_steps_and_change_no_token(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, layout: str, right: int
) -> None:
    surest = replace(loaded, profile=replace(loaded.profile, unmask_threshold=1.0))
    generator = torch.Generator().manual_seed(2)
    *prompt, last = torch.randint(3, 200, (21 + len(layout),), generator=generator).tolist()
    text = [*prompt[:20], last]
    slots = [mask_of(loaded) if slot == "?" else id for slot, id in zip(layout, prompt[20:], strict=True)]
    expected = ours(surest, text, list(slots))
    filled = iter(expected[-1].ids)
    canvas = [text[-1], *(next(filled) if slot == mask_of(loaded) else slot for slot in slots)]

    def after(self: Lookup, ids: Sequence[int]) -> list[int]:
        place = len(ids) - MATCHED  # these tokens of the prompt stand in front of the canvas
        return [*canvas[place : place + right], *[id + 1 for id in canvas[place + right :]]]

    monkeypatch.setattr(Lookup, "after", after)
    guessed = ours(surest, text, list(slots), text)
    assert guessed[-1].ids == expected[-1].ids
    assert (len(guessed) < len(expected)) == (right > 0 and layout.endswith("?"))


def test_law_3_without_adapter_and_threshold_it_is_the_autoregressive_model(tmp_path: Path) -> None:
    loaded = load(masked_checkpoint(tmp_path, rank=0, sharpness=40.0, threshold=1.0), "cpu")
    prompt = list(range(3, 40))
    base: Any = AutoModelForCausalLM.from_pretrained(loaded.folder, local_files_only=True)
    told = base.generate(torch.tensor([prompt]), max_new_tokens=9, do_sample=False, eos_token_id=None)
    assert ours(loaded, prompt, [mask_of(loaded)] * 9)[-1].ids == told[0, len(prompt) :].tolist()
