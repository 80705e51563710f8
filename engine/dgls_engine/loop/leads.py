"""The rule by which lengths of a hole compete, and what a contest tells after each of its steps.

`loop.contest` and `remote.rivalry` run contests by this rule: one over an open model, one over a server. Plain values;
imports no torch. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dgls_engine.text.canvas import Span
from dgls_engine.types import Finish

DROP_AT, KEEP = 2, 4
"""After this step the seam is read for the first time (it tells about as much as at the end), and only so many of the
candidates go on."""

LENGTH_WORTH = 12.0
"""Score penalty, in nats, per token of length difference from the text that stood in the hole."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What stands in the hole rows of the canvas number `candidate`, from 0, of a contest: the ids, their entropies in
    nats, and their log-probabilities at temperature 1. `finish`: why no step of this canvas follows, if so."""

    candidate: int
    ids: list[int]
    entropies: list[float]
    log_probabilities: list[float]
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Lead:
    """The draft that is ahead after the step `index`; `finish` says why the contest is over, None while it goes on.
    `passes`: forward passes so far. `judged`: the drafts as last judged and their nats, without the bias."""

    draft: Draft
    index: int
    finish: Finish | None
    passes: int
    judged: Sequence[tuple[Draft, float]]


def score(span: Span, nats: float, bias: float) -> float:
    """The score of a filled hole that surprises the model by `nats`; low is good. Each of its tokens adds `bias` nats.
    Another length than the expected one has to be worth it."""
    difference = abs(len(span) - len(span.expected)) if span.expected else 0
    return nats + bias * len(span) + LENGTH_WORTH * difference


def lowest_entropy(drafts: Iterable[Draft]) -> Draft:
    """The draft with the lowest mean entropy: it is ahead until the first seam is read."""
    return min(drafts, key=lambda draft: sum(draft.entropies) / len(draft.entropies))
