"""The prompt around the canvas: kept, moved and refreshed (law 6)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from dgls_engine import Context, Engine, Hole, InfillRequest, Limits, Pinned
from dgls_engine.types import Infill
from dgls_engine.weights.loader import LoadedModel
from tests.engine.test_laws import ABOVE, BELOW, inputs_of, request, run
from tests.engine.whole.slow import (
    MASK,
    PROMPT_ABOVE,
    PROMPT_BELOW,
    canvases_of,
    logits_at,
    passes_between,
    with_profile,
)


def test_law_6_with_refresh_1_each_pass_reads_the_prompt_else_every_nth(one: LoadedModel) -> None:
    asked = request(max_steps=7)
    for refresh, whole in ((1, 7), (3, 3), (100, 1)):
        engine = Engine(with_profile(one, hole_policy="fixed", refresh_steps=refresh))
        with inputs_of(one.model.model.embed_tokens) as embedded:
            run(engine, asked)
        prompts = [ids for ids in embedded if ids.shape[1] == embedded[1].shape[1]]
        assert len(embedded) == 7 + whole
        assert len(prompts) == whole


@pytest.mark.parametrize("policy", ["batch", "fixed"])
def test_law_6_typing_in_the_canvas_reads_no_prompt_while_it_is_fresh(one: LoadedModel, policy: str) -> None:
    roomy = {"canvas_tokens": 96, "before_tokens": 40, "after_tokens": 20, "refresh_steps": 100}
    engine = Engine(with_profile(one, hole_policy=policy, **roomy))

    def typed(before: str, above: str = ABOVE) -> tuple[Infill, list[int]]:
        segments = [Pinned(before), Hole(max_tokens=9), Pinned("\n    return key\n")]
        with inputs_of(one.model.model.embed_tokens) as embedded:
            infill = run(engine, InfillRequest(Context(above=above, below=BELOW), segments, Limits(max_steps=5)))[1]
        return infill, [ids.shape[1] for ids in embedded]

    first, read = typed("def read(path):\n    x = ")
    assert read.count(first.prompt_tokens - 1) == 1, "one canvas reads it for all"
    then, read = typed("def read(path):\n    x = path.open(")
    assert (then.prefilled_tokens, read.count(then.prompt_tokens - 1)) == (0, 0)
    other, read = typed("def read(path):\n    x = path.open(", "import key\n" + ABOVE)
    assert other.prefilled_tokens == other.prompt_tokens
    assert read.count(other.prompt_tokens - 1) == 1


def test_canvases_of_one_contest_share_their_prompt(one: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the longest hole leaves no room for stands in the prompt of all."""
    canvases = canvases_of(monkeypatch)
    tight = Engine(with_profile(one, hole_policy="batch", before_tokens=30, after_tokens=10))
    segments = [Pinned("def read(path):\n" * 8), Hole(max_tokens=30), Pinned("\n" + BELOW)]
    run(tight, InfillRequest(Context(above=ABOVE, below=BELOW), segments, Limits(max_steps=1)))
    assert len({len(canvas.rows) for canvas in canvases}) == len(canvases) > 5
    assert len({canvas.spilled for canvas in canvases}) == 1
    assert canvases[0].spilled.before


def test_moved_keys_are_those_of_their_new_positions(one: LoadedModel) -> None:
    """The first layer's keys depend on nothing but token and position, so there the turn is exact."""
    above, below = [31, 45, 7], [60, 61, 90, 91]
    model = loaded_keys(one, above, below, [[100, MASK, 50]], [[100, MASK, 50, 51, 52, 53]])
    fresh = loaded_keys(one, above, below, [[100, MASK, 50, 51, 52, 53]])
    assert torch.allclose(model, fresh, atol=1e-5)
    assert not torch.allclose(fresh, loaded_keys(one, above, below, [[100, MASK, 50]]), atol=1e-2)


def loaded_keys(
    loaded: LoadedModel, above: Sequence[int], below: Sequence[int], *canvases: Sequence[Sequence[int]]
) -> Tensor:
    """The first layer's keys of the prompt after passes over canvases."""
    passes = passes_between(with_profile(loaded, refresh_steps=9), above, below)
    for canvas in canvases:
        logits_at(passes, canvas, [[1]])
    keys = passes._prompt.own.buffers._states[0]
    return keys[0, : keys.shape[1] // 2, : len(above) + len(below)].clone()


def test_kept_keys_are_close_and_exact_after_a_refresh(one: LoadedModel) -> None:
    rows, canvas = [[1, 3]], [[100, MASK, 50, MASK]]
    exact = logits_at(passes_between(one, PROMPT_ABOVE, PROMPT_BELOW), canvas, rows)
    passes = passes_between(with_profile(one, refresh_steps=2), PROMPT_ABOVE, PROMPT_BELOW)
    logits_at(passes, [[100, MASK, MASK, MASK]], rows)
    kept = logits_at(passes, canvas, rows)
    refreshed = logits_at(passes, canvas, rows)
    assert torch.allclose(refreshed, exact, atol=1e-4)
    assert 1e-3 < float((kept - exact).abs().max()) < 0.5 * float(exact.abs().max())
