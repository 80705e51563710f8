"""Length policies and decoding rules that need each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned
from dgls_engine.errors import UnsupportedModel
from dgls_engine.loop.first_pass import FirstPass
from dgls_engine.loop.leads import Draft
from dgls_engine.profile import Decoding
from dgls_engine.text.canvas import Canvas
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import masked_checkpoint
from tests.engine.published import published_checkpoint
from tests.engine.test_laws import ABOVE, BELOW, request, run


@pytest.mark.parametrize("kind", ["dream-coder", "llada", "plain"])
def test_search_denoises_the_length_that_the_first_step_is_surest_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    plain = kind == "plain"
    folder = masked_checkpoint(tmp_path, sharpness=40.0) if plain else published_checkpoint(tmp_path, kind, sharpness=4)
    values = {"hole_policy": "search", "decoding": "confidence"}
    loaded = load(folder, "cpu").with_profile(values)
    seen: list[tuple[list[float], int]] = []
    original = FirstPass.first

    def first(self: FirstPass, canvases: Sequence[Canvas], told: Sequence[Draft], hole: int) -> int | None:
        chosen = original(self, canvases, told, hole)
        assert chosen is not None
        lengths = [len(canvas.rows) for canvas in canvases]
        means = [sum(map(math.exp, draft.log_probabilities)) / size for draft, size in zip(told, lengths, strict=True)]
        trend = [math.exp(-1.77 * size) + 0.56 * math.exp(-0.06 * size) + 0.24 for size in lengths]
        seen.append(([mean / usual for mean, usual in zip(means, trend, strict=True)], chosen))
        return chosen

    monkeypatch.setattr(FirstPass, "first", first)

    def asked(least: int, most: int) -> InfillRequest:
        hole = Hole(min_tokens=least, max_tokens=most)
        return InfillRequest(Context(above=ABOVE, below=BELOW), [Pinned("x = "), hole, Pinned("\n")])

    _, infill = run(Engine(loaded), asked(1, 8))
    ((sure, chosen),) = seen
    assert len(sure) == 8
    assert sure[chosen] == max(sure)
    alone = run(Engine(loaded), asked(chosen + 1, chosen + 1))[1]
    assert (infill.texts, infill.steps, infill.passes) == (alone.texts, alone.steps, alone.steps)


@pytest.mark.parametrize("policy", ["grow", "search"])
def test_policies_that_need_a_rule_say_so(tmp_path: Path, policy: str) -> None:
    loaded = load(masked_checkpoint(tmp_path), "cpu")
    values = {"hole_policy": policy, "expand_token": "<|mask|>", "delete_token": "<|pad|>"}
    with pytest.raises(UnsupportedModel, match="another decoding than left"):
        Engine(loaded.with_profile(values))


@pytest.mark.parametrize("decoding", ["confidence", "margin", "entropy", "threshold", "bound", "remask"])
def test_rules_also_fill_a_model_with_a_causal_prompt(tmp_path: Path, decoding: Decoding) -> None:
    loaded = load(masked_checkpoint(tmp_path, sharpness=40.0), "cpu").with_profile({"decoding": decoding})
    steps, infill = run(Engine(loaded), request())
    assert infill.finish == "stable"
    assert 1 < len(steps) <= infill.hole_tokens


def test_replace_keeps_profile_valid(one: LoadedModel) -> None:
    with pytest.raises(ValueError, match="decoding must be one of"):
        replace(one.profile, decoding="any")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="refresh_steps must be a whole number from 1"):
        replace(one.profile, refresh_steps=0)
