"""Computes how much a filled canvas surprises the model. This score decides the length of a hole.

A wrong length surprises the model more in the pinned code after the hole than inside the hole. One pass over the filled
canvas gives the negative log-likelihood of the hole's tokens and of their nearest pinned neighbours; their sum is the
score. In that pass noise, the same for all canvases, hides the neighbours behind the hole: the model copies visible
tokens, so they must be hidden to get its own estimate (docs/experiments/lengths.md). Knows no text and no policy; runs
on the engine thread. Shapes: C canvas, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dgls_engine.loop.judged_rows import seam_rows
from dgls_engine.loop.leads import Draft
from dgls_engine.loop.likelihood import likelihoods
from dgls_engine.model.batches import places, stacked
from dgls_engine.model.passes import Passes
from dgls_engine.text.canvas import Canvas


@torch.inference_mode()
def surprises(
    passes: Passes[Any], canvases: Sequence[Canvas], drafts: Sequence[Sequence[int]], hole: int, noise: Tensor
) -> list[float]:
    """One score in nats for each canvas with its draft in place: the sum over the tokens of hole number `hole` and its
    pinned neighbours. The ids `noise` [AFTER] hide the text behind the hole. Takes one pass for all canvases."""
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


class Seam:
    """A `contest.Judge` by `surprises` with the ids `noise` [AFTER]."""

    def __init__(self, noise: Tensor) -> None:
        self._noise = noise

    def nats(
        self, passes: Passes[Any], canvases: Sequence[Canvas], drafts: Sequence[Sequence[int]], hole: int
    ) -> list[float]:
        return surprises(passes, canvases, drafts, hole, self._noise)

    def first(self, canvases: Sequence[Canvas], drafts: Sequence[Draft], hole: int) -> int | None:
        return None

    def beaten(self, draft: Draft, by: Draft) -> bool:
        return False  # every position may still change
