"""Chooses the length of a hole by the model's confidence at the first step.

    the mean probability of the hole's likeliest tokens, divided by what a hole of that length has in general

A hole of the right length is surer than its neighbours, under a trend that falls with the length (CAL, Liu et al.,
arXiv 2602.00476). One pass over all lengths chooses; the chosen one alone is denoised. Knows drafts, no model; runs on
the engine thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dgls_engine.loop.contest import Judge
from dgls_engine.loop.leads import Draft
from dgls_engine.model.passes import Passes
from dgls_engine.text.canvas import Canvas


def usual(length: int) -> float:
    """The mean probability of a hole of this length, as fitted by the method's authors to code infilling by several
    models."""
    return math.exp(-1.77 * length) + 0.56 * math.exp(-0.06 * length) + 0.24


class FirstPass:
    """A `contest.Judge` after whose choice one rival is left. `judge` judges where nothing could be chosen: before the
    first step."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def first(self, canvases: Sequence[Canvas], drafts: Sequence[Draft], hole: int) -> int | None:
        return max(drafts, key=lambda draft: _confidence(canvases[draft.rival], draft, hole)).rival

    def nats(
        self, passes: Passes[Any], canvases: Sequence[Canvas], drafts: Sequence[Sequence[int]], hole: int
    ) -> list[float]:
        return self._judge.nats(passes, canvases, drafts, hole)

    def beaten(self, draft: Draft, by: Draft) -> bool:
        return False


def _confidence(canvas: Canvas, draft: Draft, hole: int) -> float:
    start, length = sum(map(len, canvas.holes[:hole])), len(canvas.holes[hole])
    chances = [math.exp(each) for each in draft.log_probabilities[start : start + length]]
    return sum(chances) / length / usual(length)
