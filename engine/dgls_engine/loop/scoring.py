"""Scores texts that may stand in one place: the surprise of each token.

    reading from left to right     prompt, before | text, the first tokens after it
    seeing both sides              prompt | before | text, a part of its tokens hidden by noise | after

Which of the two depends on the model. The first takes one pass for all texts, the second one for each. Knows tokens and
text; runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dgls_engine.errors import RequestTooLarge
from dgls_engine.loop.continuation import AFTER, read_on
from dgls_engine.loop.doubt import hidden_likelihoods
from dgls_engine.loop.infilling import Layout
from dgls_engine.model.batches import shared_prefix
from dgls_engine.model.passes import Passes
from dgls_engine.text.redraft import Sketch
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Hole, Pinned, Revise, Score, ScoreRequest

_LONGEST = 16
"""Characters of `after` for each token of it that is read."""

_ALL = 0.5
"""A strength at which a draft stands in the canvas as it is."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The texts of a request as ids: the `prompt`, which is the same for all of them, and what follows it. The first
    token of each of the `rests` is the prompt's next one, too, and is not scored."""

    prompt: list[int]
    rests: list[list[int]]

    def scores(self, passes: Passes[Any], tokenizer: Tokenizer) -> list[Score]:
        """`passes` stand behind the prompt."""
        likely = read_on(passes, self.rests, [1] * len(self.rests))
        return [_score(rest[1:], own, tokenizer) for rest, own in zip(self.rests, likely, strict=True)]


def shared(request: ScoreRequest, tokenizer: Tokenizer, start: Sequence[int], most: int) -> Shared:
    """The request for a model that reads from left to right, with at most `most` tokens in the prompt."""
    before, behind = request.context.above + request.before, request.after[: AFTER * _LONGEST]
    rows = [_cut(before, text, behind, tokenizer) for text in request.texts]
    plain = tokenizer.encode(before)  # so that a text's tokens do not depend on the other texts
    same = min(*(shared_prefix(plain, row) for row in rows), min(map(len, rows)) - 1)
    held = [*start, *rows[0][: max(0, same - 1)]]
    first = [] if same else list(start[-1:])
    rests = [first + row[max(0, same - 1) :] for row in rows]
    return Shared(held[-most:] if same else list(start), rests)


def both_sides(request: ScoreRequest, text: str, layout: Layout) -> Sketch:
    """A canvas with the text in place. Raises `RequestTooLarge`."""
    if not text:
        raise RequestTooLarge("an empty text has no token to score; score it with the text around it")
    hole = Hole(max_tokens=1, start=Revise(text, _ALL))
    return layout.sketch([Pinned(request.before), hole, Pinned(request.after)])


def score_of(sketch: Sketch, passes: Passes[Any], noise: Tensor, tokenizer: Tokenizer) -> Score:
    own, _ = hidden_likelihoods(passes, sketch.canvas, sketch.positions, noise)
    return _score([sketch.canvas.ids[row] for row in sketch.positions], own.tolist(), tokenizer)


def _score(ids: Sequence[int], likely: Sequence[float], tokenizer: Tokenizer) -> Score:
    return Score(tuple(tokenizer.decode([id]) for id in ids), tuple(-each for each in likely))


def _cut(before: str, text: str, behind: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of the texts in a row, with the first `AFTER` tokens behind the text."""
    whole, most = tokenizer.encode(before + text + behind), len(tokenizer.encode(before + text)) + AFTER
    return whole[:most]
