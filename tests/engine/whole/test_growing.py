"""Holes that grow and shrink while they are denoised."""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned
from dgls_engine.errors import UnsupportedModel
from dgls_engine.loop.any_order import START, Growth, Rows
from dgls_engine.loop.rules import Prediction, Surest
from dgls_engine.model.passes import ABSENT
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.published import published_checkpoint
from tests.engine.test_laws import ABOVE, run
from tests.engine.whole.slow import (
    DELETE,
    EXPAND,
    MASK,
    growing_reference,
    our_drafts,
)


@pytest.mark.parametrize("favour", [{}, {EXPAND: 2.0}, {DELETE: 2.0}, {EXPAND: 1.4, DELETE: 1.4}])
@pytest.mark.parametrize("seed", range(3))
def test_law_3_a_growing_hole_is_that_of_a_slow_loop(tmp_path: Path, favour: dict[int, float], seed: int) -> None:
    folder = published_checkpoint(tmp_path, "dreamon", seed=seed, sharpness=2.0)
    weights = load_file(folder / "model.safetensors")
    for token, factor in favour.items():
        weights["lm_head.weight"][token] *= factor
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    loaded = load(folder, "cpu")
    found, banned = our_drafts(loaded, 14)
    expected = growing_reference(loaded, 14, 0, banned)
    assert found[-1] == [*expected, *[DELETE] * (14 - len(expected))]


def test_growing_hole_grows_shrinks_and_ends(tmp_path: Path) -> None:
    lengths = set()
    for seed in range(6):
        folder = published_checkpoint(tmp_path / str(seed), "dreamon", seed=seed, sharpness=2.0)
        weights = load_file(folder / "model.safetensors")
        weights["lm_head.weight"][EXPAND if seed % 2 else DELETE] *= 2.5
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        asked = InfillRequest(Context(above=ABOVE), [Pinned("x = "), Hole(max_tokens=16), Pinned("\n")])
        _, infill = run(Engine(load(folder, "cpu")), asked)
        assert infill.finish == "stable"
        lengths.add(len(infill.fills[0].pieces))
    assert min(lengths) < START < max(lengths) <= 16


def test_rows_that_grow_keep_what_is_decided() -> None:
    """Tokens move with their rows, whatever the predictions are; pinned against a list."""
    generator, fresh = random.Random(0), count(50)
    for _ in range(200):
        sizes = [generator.randrange(1, 12) for _ in range(2)]
        rows = Rows(
            sizes,
            MASK,
            DELETE,
            Surest(lambda each: each.log_probability),
            lambda draft, sizes=sizes: [range(sizes[0]), range(sizes[0], sum(sizes))],  # type: ignore[misc]
            torch.device("cpu"),
            Growth(EXPAND, DELETE, [1, 0]),
        )
        before = rows.shown()
        for _ in range(200):
            if rows.settled([], []):
                break
            told: dict[int, Prediction] = {}
            for row in rows.reading:
                longer, shorter = rows.may_change(row)
                tokens = [next(fresh), *([EXPAND] if longer else []), *([DELETE] if shorter else [])]
                told[row] = Prediction(generator.choice(tokens), -generator.random(), 1.0, 0.0)
            rows.decide(told)
            after = rows.shown()
            assert len(after) == sum(sizes)
            for hole in (slice(0, sizes[0]), slice(sizes[0], None)):
                kept, now = ([id for id in ids[hole] if id >= 50] for ids in (before, after))
                assert set(kept) <= set(now)
                assert [id for id in now if id in kept] == kept, "in the same order"
                assert ABSENT not in after[hole][: sum(id != ABSENT for id in after[hole])], "absent rows are last"
            before = after
        assert rows.settled([], [])


def test_growing_needs_a_model_that_was_trained_for_it(tmp_path: Path, flat: LoadedModel) -> None:
    with pytest.raises(UnsupportedModel, match="expand token"):
        Engine(flat.with_profile({"hole_policy": "grow"}))
