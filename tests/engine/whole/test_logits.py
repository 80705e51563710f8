"""The logits and drafts of the published models are those of the independent reference (law 3)."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from dgls_engine.model.passes import ABSENT
from dgls_engine.profile import Decoding
from dgls_engine.weights.loader import LoadedModel
from tests.engine.published import SHIFTED, reference
from tests.engine.whole.slow import (
    MASK,
    PROMPT_ABOVE,
    PROMPT_BELOW,
    kind_of,
    logits_at,
    our_drafts,
    passes_between,
    slow_drafts,
    with_profile,
)


def test_logits_are_those_of_the_reference(loaded: LoadedModel) -> None:
    """Canvases of different lengths in one batch, and rows that are not there."""
    kind, tensors = kind_of(loaded), load_file(loaded.folder / "model.safetensors")
    canvases = [[100, 101, MASK, MASK, 50, MASK], [100, MASK, MASK, ABSENT, 103, MASK, 104, 105]]
    rows = [[2, 3, 5], [1, 2, 4, 5]]
    found = logits_at(passes_between(loaded, PROMPT_ABOVE, PROMPT_BELOW), canvases, rows)
    expected = []
    for canvas, own in zip(canvases, rows, strict=True):
        there = [row for row, id in enumerate(canvas) if id != ABSENT]
        whole = reference(kind, tensors, [*PROMPT_ABOVE, *(canvas[row] for row in there), *PROMPT_BELOW])
        expected += [whole[len(PROMPT_ABOVE) + there.index(row) - (kind in SHIFTED)] for row in own]
    assert float((found - torch.stack(expected)).abs().max()) < 1e-4


def test_law_3_every_draft_is_that_of_a_slow_loop_as_published(loaded: LoadedModel) -> None:
    fixed = with_profile(loaded, hole_policy="batch")
    found, banned = our_drafts(fixed, 6)
    assert found == slow_drafts(fixed, loaded.profile.decoding, 6, banned)


@pytest.mark.parametrize("decoding", ["confidence", "margin", "entropy", "threshold", "bound", "remask"])
@pytest.mark.parametrize("size", [1, 9])
def test_law_3_every_draft_is_that_of_a_slow_loop_under_every_rule(
    one: LoadedModel, decoding: Decoding, size: int
) -> None:
    sharp = with_profile(one, decoding=decoding, unmask_threshold=0.2, entropy_bound=6.0)
    found, banned = our_drafts(sharp, size)
    assert found == slow_drafts(sharp, decoding, size, banned)
    if size > 1:
        assert (len(found) < size) == (decoding in ("threshold", "bound"))
