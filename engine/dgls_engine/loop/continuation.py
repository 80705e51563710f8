"""Judges fills by the model that was not trained to fill: how likely are the fill, and then the code after it?

    prompt | canvas in front of the hole | fill | the first tokens of the code after

The model without its adapter reads this from left to right, so a fill must make the code after it likely. The prompt
shows that code, too; a prompt without it judged no better (docs/experiments/small-model.md). Knows tokens and text;
runs on the engine thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from dgls_engine.loop.leads import Draft
from dgls_engine.loop.likelihood import likelihoods
from dgls_engine.model.batches import places, stacked
from dgls_engine.model.passes import Passes
from dgls_engine.text.canvas import Canvas, joined
from dgls_engine.text.reader import read
from dgls_engine.text.tokenizer import Tokenizer

AFTER = 8
"""The number of tokens of the code after the hole that count. 4 to 24 chose the same fills."""

_LONGEST = 16
"""Characters of code for each of these tokens: more are never read."""

MARGIN = 5.0
"""A running fill that is this many nats less likely than a settled one is dropped, so that the contest does not wait
for it. The number was not tuned."""

KEPT = 12.0
"""At strength 0, a text that stands stays unless the fill is likelier by this many nats."""

_HALF = math.log(0.5)
"""A fill that has more than half of the probability is likelier than any other."""


class Continuation:
    """A `contest.Judge`. `mask` is the id of undecided rows."""

    def __init__(self, tokenizer: Tokenizer, mask: int) -> None:
        self._tokenizer, self._mask = tokenizer, mask

    def nats(
        self, passes: Passes[Any], canvases: Sequence[Canvas], drafts: Sequence[Sequence[int]], hole: int
    ) -> list[float]:
        texts = [self._text(canvas, draft, hole) for canvas, draft in zip(canvases, drafts, strict=True)]
        distinct = list(dict.fromkeys(map(tuple, texts)))
        starts = {text: canvas.holes[hole].start for canvas, text in zip(canvases, map(tuple, texts), strict=True)}
        likely = read_on(passes, distinct, [starts[text] for text in distinct])
        nats = {text: sum(each) for text, each in zip(distinct, likely, strict=True)}
        return [-nats[tuple(text)] for text in texts]

    def first(self, canvases: Sequence[Canvas], drafts: Sequence[Draft], hole: int) -> int | None:
        return None

    def beaten(self, draft: Draft, by: Draft) -> bool:
        likelihood = self._likelihood(by)
        return likelihood > _HALF or self._likelihood(draft) < likelihood - MARGIN

    def _likelihood(self, draft: Draft) -> float:
        """The log-probability of the decided tokens."""
        return sum(each for id, each in zip(draft.ids, draft.log_probabilities, strict=True) if id != self._mask)

    def _text(self, canvas: Canvas, draft: Sequence[int], hole: int) -> list[int]:
        """The ids that are read behind the prompt: the canvas up to the hole, its fill, and code after it."""
        span, tokenizer = canvas.holes[hole], self._tokenizer
        filled = canvas.filled(draft)
        fill = read(span, _part(canvas, draft, hole), tokenizer).text
        following = canvas.holes[hole + 1].start if hole + 1 < len(canvas.holes) else len(filled)
        after = tokenizer.decode(filled[span.end : following])
        if hole + 1 == len(canvas.holes):
            after += canvas.spilled.after
        text = joined(span.freed, fill + after[: AFTER * _LONGEST], tokenizer) or []
        length = len(joined(span.freed, fill, tokenizer) or []) + AFTER
        return [*filled[: span.start], *text[:length]]


class Revision(Continuation):
    """Judges a fill against the text that stands in the hole, which may be less likely by some nats and still stays:
    the more, the smaller the revision's strength."""

    def nats(
        self, passes: Passes[Any], canvases: Sequence[Canvas], drafts: Sequence[Sequence[int]], hole: int
    ) -> list[float]:
        nats = super().nats(passes, canvases, drafts, hole)
        return [
            each - KEPT * (1 - canvas.holes[hole].strength) * self._stands(canvas, draft, hole)
            for each, canvas, draft in zip(nats, canvases, drafts, strict=True)
        ]

    def beaten(self, draft: Draft, by: Draft) -> bool:
        return False  # both are read

    def _stands(self, canvas: Canvas, draft: Sequence[int], hole: int) -> bool:
        span, tokenizer = canvas.holes[hole], self._tokenizer
        stands = read(replace(span, word=False), span.expected, tokenizer).text
        return read(span, _part(canvas, draft, hole), tokenizer).text == stands


@torch.inference_mode()
def read_on(passes: Passes[Any], texts: Sequence[Sequence[int]], starts: Sequence[int]) -> list[list[float]]:
    """The log-probability of each token of `texts`, from its start on, as the model without its adapter reads it from
    left to right. The first start is at least 1. Takes one pass."""
    ids = stacked(texts, passes.device)
    rows = [range(start, len(text)) for start, text in zip(starts, texts, strict=True)]
    judged = places(rows, passes.device)
    plain = passes.without_adapter()
    carry = plain.judging(ids, judged)
    hidden = plain.run(ids, carry, [len(text) for text in texts], judged)
    likely, _ = likelihoods(plain.head, hidden, ids[judged])
    return [part.tolist() for part in likely.split_with_sizes([len(own) for own in rows])]


def _part(canvas: Canvas, draft: Sequence[int], hole: int) -> Sequence[int]:
    """The ids of hole number `hole`."""
    row = sum(map(len, canvas.holes[:hole]))
    return draft[row : row + len(canvas.holes[hole])]
