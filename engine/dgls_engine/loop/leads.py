"""The rule by which lengths of a hole compete, and what a contest reports after each step.

`loop.contest` and `remote.rivalry` run contests by this rule: one over an open model, one over a server. Plain values;
imports no torch. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dgls_engine.text.canvas import Span
from dgls_engine.types import Finish

DROP_AT, KEEP = 2, 4
"""After step DROP_AT the seam is read for the first time, and only the KEEP best rivals go on. The seam tells about
as much then as at the end."""

LENGTH_WORTH = 12.0
"""Score penalty, in nats, per token of length difference from the text that stood in the hole."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The hole rows of one canvas after a step: the ids, their entropies in nats, and their log-probabilities at
    temperature 1. `rival` is the number of the canvas in its contest, from 0. `finish` says why this canvas gets no
    further step; None if it may get one."""

    rival: int
    ids: list[int]
    entropies: list[float]
    log_probabilities: list[float]
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Lead:
    """The draft that is ahead after the step `index`. `finish` says why the contest is over; None while it goes on.
    `passes` counts the forward passes so far. `judged` has the drafts that were judged last and their nats, without the
    bias."""

    draft: Draft
    index: int
    finish: Finish | None
    passes: int
    judged: Sequence[tuple[Draft, float]]


def score(span: Span, nats: float, bias: float) -> float:
    """The score of a filled hole whose seam surprises the model by `nats`; the lowest score wins. Each of its tokens
    adds `bias` nats, and a length other than the expected one costs LENGTH_WORTH per token."""
    difference = abs(len(span) - len(span.expected)) if span.expected else 0
    return nats + bias * len(span) + LENGTH_WORTH * difference


def lowest_entropy(drafts: Iterable[Draft]) -> Draft:
    """The draft with the lowest mean entropy: it is ahead until the first seam is read."""
    return min(drafts, key=lambda draft: sum(draft.entropies) / len(draft.entropies))
