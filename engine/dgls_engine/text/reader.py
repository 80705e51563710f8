"""A hole's tokens -> its text.

Every step's draft is read this way, and the answer is the last draft. Knows tokens' bytes, no tensors. Runs on the
engine thread.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dgls_engine.calibration import Calibration
from dgls_engine.text.canvas import Span
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Fill, Piece


@dataclass(frozen=True, slots=True)
class HoleText:
    """The text in `pieces`, one a token, and how many of the hole's positions `count`.

    What counts is the text and the token that ends it: the first PAD, or the one that completes the stop.
    """

    pieces: tuple[str, ...]
    count: int

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Reader:
    """Reads drafts (the ids of all hole rows, in order) of one canvas."""

    def __init__(self, holes: Sequence[Span], tokenizer: Tokenizer) -> None:
        self._holes = holes
        self._tokenizer = tokenizer
        self._last: tuple[Sequence[int], list[HoleText]] = ((), [])

    def fills(self, draft: Sequence[int]) -> list[HoleText]:
        """One a hole."""
        if self._last[0] is not draft:
            parts = ((hole, draft[row : row + len(hole)]) for hole, row in self._starts())
            self._last = draft, [read(hole, part, self._tokenizer) for hole, part in parts]
        return self._last[1]

    def counted(self, draft: Sequence[int]) -> list[range]:
        """The rows that count, one range a hole."""
        return [range(row, row + fill.count) for (_, row), fill in zip(self._starts(), self.fills(draft), strict=True)]

    def answers(
        self, draft: Sequence[int], logprobs: Sequence[float], entropies: Sequence[float], calibration: Calibration
    ) -> list[Fill]:
        """One a hole, from the log-probabilities (temperature 1) and entropies of all rows.

        A fill's probability is the product of its tokens' probabilities, without the token that ends it unless there
        is no other: several ends mean the same and share its probability. Measured on held-out holes: the product ranks
        right fills before wrong ones better than the mean or the least of them.
        """
        answers = []
        for fill, rows in zip(self.fills(draft), self.counted(draft), strict=True):
            probability = min(1.0, math.exp(sum(logprobs[row] for row in rows[: max(1, len(fill.pieces))])))
            pieces = tuple(
                Piece(text, math.exp(logprobs[row]), entropies[row])
                for text, row in zip(fill.pieces, rows, strict=False)
            )
            answers.append(Fill(fill.text, pieces, calibration.confidence(probability), probability))
        return answers

    def _starts(self) -> list[tuple[Span, int]]:
        rows = [0]
        for hole in self._holes:
            rows.append(rows[-1] + len(hole))
        return list(zip(self._holes, rows[:-1], strict=True))


def read(span: Span, ids: Sequence[int], tokenizer: Tokenizer) -> HoleText:
    """What the tokens `ids` of a hole say. Bytes that are no UTF-8 become U+FFFD."""
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    pieces: list[str] = []
    text = ""
    for index, token in enumerate(ids):
        if token == tokenizer.pad_id:
            return HoleText(_flush(pieces, utf8), index + 1)
        spelled = tokenizer.token_bytes(token)
        piece = utf8.decode(spelled[len(span.freed) :] if index == 0 else spelled)
        pieces.append(piece)
        if span.stop is not None:
            searched = max(0, len(text) - len(span.stop) + 1)
            text += piece
            at = text.find(span.stop, searched)
            if at >= 0:
                return HoleText(_cut(pieces, at), index + 1)
    return HoleText(_flush(pieces, utf8), len(ids))


def _flush(pieces: list[str], utf8: codecs.IncrementalDecoder) -> tuple[str, ...]:
    """A character that was begun but not finished shows in the last piece."""
    if pieces:
        pieces[-1] += utf8.decode(b"", final=True)
    return tuple(pieces)


def _cut(pieces: list[str], length: int) -> tuple[str, ...]:
    """The pieces of the first `length` characters."""
    kept: list[str] = []
    for piece in pieces:
        if length <= 0:
            break
        kept.append(piece[:length])
        length -= len(piece)
    return tuple(kept)
