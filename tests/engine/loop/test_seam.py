"""The score by which a length is chosen: which tokens it reads, and what the model sees meanwhile."""

from __future__ import annotations

import pytest
import torch

from dgls_engine.loop import likelihood
from dgls_engine.loop.judged_rows import AFTER, seam_rows
from dgls_engine.loop.seam import surprises
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import SoftCappedHead
from dgls_engine.profile import PinnedSignal
from dgls_engine.text.canvas import lay_out
from dgls_engine.text.length import Batch
from dgls_engine.types import Hole, Pinned
from dgls_engine.weights.loader import LoadedModel
from tests.engine.loop.test_contest import LENGTHS, NOISE, canvas_of, passes_for


def test_seam_rows_are_hole_and_nearest_pinned_neighbours(flat: LoadedModel) -> None:
    segments = [Pinned("a = b\n"), Hole(3, 3), Pinned(","), Hole(2, 2), Pinned("\n" + "value = 1\n" * 5)]
    canvas = lay_out(segments, flat.tokenizer, flat.profile, Batch().positions)
    first, second = canvas.holes
    rows = seam_rows(canvas, 0)
    assert set(range(first.start, first.end)) <= set(rows)
    assert not set(range(second.start, second.end)) & set(rows)
    assert max(rows) < first.end + 8
    assert min(rows) >= first.start - 4


def test_surprises_batched_equal_single_canvases(loaded: LoadedModel) -> None:
    canvases = [canvas_of(loaded, length) for length in LENGTHS]
    drafts = [list(range(10, 10 + length)) for length in LENGTHS]
    passes = passes_for(loaded)
    together = surprises(passes, canvases, drafts, 0, NOISE)
    alone = [surprises(passes, [canvas], [draft], 0, NOISE)[0] for canvas, draft in zip(canvases, drafts, strict=True)]
    assert together == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize("signal", ["always", "never"])
def test_surprises_hide_text_behind_hole(loaded: LoadedModel, signal: PinnedSignal) -> None:
    """The slow way: one canvas, logits for every row, and neither the tokens nor their signal seen."""
    canvas, passes = canvas_of(loaded, 3), passes_for(loaded, pinned_signal=signal)
    ids = torch.tensor(canvas.filled([10, 11, 12]))
    (hole,) = canvas.holes
    shown = ids.clone()
    shown[hole.end : hole.end + AFTER] = NOISE[: len(ids) - hole.end]
    soft = decoder.embed(loaded.model, ids)[None].detach().clone()
    soft[:, hole.start : hole.end + AFTER] = 0
    with torch.inference_mode():
        given = soft if signal == "always" else None
        hidden = decoder.decode(loaded.model, shown[None], given, passes.seen, decoder.NO_MASKS, passes.tokens)
        likely = decoder.logits(loaded.model, hidden)[0].log_softmax(-1)
    rows = range(max(0, hole.start - 4), min(len(ids), hole.end + AFTER))
    expected = -sum(float(likely[row, ids[row]]) for row in rows)
    (found,) = surprises(passes, [canvas], [[10, 11, 12]], 0, NOISE)
    assert found == pytest.approx(expected, rel=1e-4)


def test_surprises_in_small_parts_equal_whole(peaked: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, ids = torch.randn(11, 32, generator=generator), torch.arange(11)
    with torch.inference_mode():
        own, best = likelihood.likelihoods(SoftCappedHead(peaked.model), hidden, ids)
        likely = decoder.logits(peaked.model, hidden).log_softmax(-1)
        monkeypatch.setattr(likelihood, "JUDGED_ROWS", 3)
        few = likelihood.likelihoods(SoftCappedHead(peaked.model), hidden, ids)
    assert torch.equal(own, likely[ids, ids])
    assert torch.equal(best, likely.amax(-1))
    torch.testing.assert_close(few, (own, best))
