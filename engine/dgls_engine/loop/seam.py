"""How much a filled canvas surprises the model: the score by which a hole's length is chosen.

A wrong length shows at the seam, in the pinned code after the hole, more than inside it. One pass over the filled
canvas reads the negative log-likelihood of the hole's tokens and of their nearest pinned neighbours; their sum is the
score. In that pass the neighbours behind the hole are noise, the same for all canvases: the model copies tokens that it
sees, so hide them to get its own estimate (docs/experiments/lengths.md). Knows no text and no policy; runs on the
engine thread. Shapes: C canvas, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dgls_engine.loop.judged_rows import seam_rows
from dgls_engine.loop.likelihood import likelihoods
from dgls_engine.model.batches import places, stacked
from dgls_engine.model.passes import Passes
from dgls_engine.text.canvas import Canvas


@torch.inference_mode()
def surprises(
    passes: Passes[Any], canvases: Sequence[Canvas], drafts: Sequence[Sequence[int]], hole: int, noise: Tensor
) -> list[float]:
    """Nats, one a canvas: the sum over the tokens of its hole number `hole` and those around it, once all its hole
    rows hold their draft. `noise` [AFTER] are the ids that stand behind the hole. All canvases in one pass."""
    device = noise.device
    filled = stacked([canvas.filled(draft) for canvas, draft in zip(canvases, drafts, strict=True)], device)
    rows = [seam_rows(canvas, hole) for canvas in canvases]
    behind = [[row for row in own if row >= canvas.holes[hole].end] for own, canvas in zip(rows, canvases, strict=True)]
    shown = filled.index_put(places(behind, device), torch.cat([noise[: len(own)] for own in behind]))
    unseen = [[*canvas.rows, *own] for canvas, own in zip(canvases, behind, strict=True)]
    carry = passes.judging(filled, places(unseen, device))
    judged = places(rows, device)
    hidden = passes.run(shown, carry, [len(canvas.ids) for canvas in canvases], judged)
    likely, _ = likelihoods(passes.head, hidden, filled[judged])
    parts = (-likely).split_with_sizes([len(own) for own in rows])
    found: list[float] = torch.stack([part.sum() for part in parts]).tolist()
    return found
