"""What a step says, hole by hole: the text, how sure the model is of it, and its tokens one by one.

Knows plain values, no tensors. Runs on the engine thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dgls_engine.loop.denoise import Progress
from dgls_engine.text.reader import Reader
from dgls_engine.types import Draft, Piece


@dataclass(frozen=True, slots=True)
class Answer:
    """One hole's, if this step were the last."""

    draft: Draft
    confidence: float
    pieces: tuple[Piece, ...]


def answers(progress: Progress, reader: Reader) -> list[Answer]:
    """One a hole of the canvas.

    A hole's confidence is the product of the probabilities that its text's tokens had at temperature 1. Not of the
    token that ends it, unless there is no other: several ends mean the same and share its probability.
    Measured on held-out holes: ranks the right fills before the wrong ones better than a mean or the least of them.
    """
    best = progress.sureness
    found = []
    for fill, rows in zip(reader.fills(progress.draft), reader.counted(progress.draft), strict=True):
        count = len(fill.pieces)
        draft = Draft(fill.text, fill.pieces, tuple(progress.entropies[rows.start : rows.start + count]))
        confidence = min(1.0, math.exp(sum(best[row] for row in rows[: max(1, count)])))
        pieces = tuple(Piece(text, math.exp(best[row])) for text, row in zip(fill.pieces, rows, strict=False))
        found.append(Answer(draft, confidence, pieces))
    return found


def joined(parts: Sequence[Answer]) -> Answer:
    """What the parts of one text say together."""
    pieces = tuple(piece for part in parts for piece in part.draft.pieces)
    entropies = tuple(nats for part in parts for nats in part.draft.entropies)
    own = tuple(piece for part in parts for piece in part.pieces)
    return Answer(Draft("".join(pieces), pieces, entropies), math.prod(part.confidence for part in parts), own)
