"""What came back of a canvas, hole by hole, as the local engine says it: see `loop.answer`.

A server tells the log-probability of each token and no entropy; a token's surprise stands in for it, which is never
more. Runs on the engine thread.
"""

from __future__ import annotations

import math

from dgls_engine.loop.answer import Answer
from dgls_engine.remote.rival import Found
from dgls_engine.remote.rivalry import Lead
from dgls_engine.text.reader import Reader
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Draft, Piece, Trial


def answers(found: Found, reader: Reader) -> list[Answer]:
    """One a hole of the canvas; a confidence is the product of its tokens' probabilities, as in `loop.answer`."""
    best, every = found.logprobs, []
    for fill, rows in zip(reader.fills(found.draft), reader.counted(found.draft), strict=True):
        count = len(fill.pieces)
        draft = Draft(fill.text, fill.pieces, tuple(-best[row] for row in rows[:count]))
        confidence = min(1.0, math.exp(sum(best[row] for row in rows[: max(1, count)])))
        pieces = tuple(Piece(text, math.exp(best[row])) for text, row in zip(fill.pieces, rows, strict=False))
        every.append(Answer(draft, confidence, pieces))
    return every


def trials(lead: Lead, hole: int, tokenizer: Tokenizer) -> tuple[Trial, ...]:
    """The lengths that were judged last."""
    fills = [(Reader(found.rival.holes, tokenizer).fills(found.draft)[hole], nats) for found, nats in lead.judged]
    return tuple(Trial(fill.text, fill.count, nats) for fill, nats in fills)
