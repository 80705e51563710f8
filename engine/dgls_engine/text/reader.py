"""Converts a hole's tokens to its text.

The engine reads the draft of each step with it; the answer is the last draft. Knows the bytes of tokens, no tensors.
Runs on the engine thread.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dgls_engine.calibration import Calibration
from dgls_engine.text.canvas import Span
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Fill, Piece


@dataclass(frozen=True, slots=True)
class HoleText:
    """The text of a hole: `pieces`, one for each token, and `count`, the number of positions it takes.

    `count` includes the token that ends the text: the first PAD, or the token that completes what the text ends before.
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
        """The texts of all holes."""
        if self._last[0] is not draft:
            parts = ((hole, draft[row : row + len(hole)]) for hole, row in self._starts())
            self._last = draft, [read(hole, part, self._tokenizer) for hole, part in parts]
        return self._last[1]

    def counted(self, draft: Sequence[int]) -> list[range]:
        """For each hole, the rows of its text and of the token that ends it."""
        return [range(row, row + fill.count) for (_, row), fill in zip(self._starts(), self.fills(draft), strict=True)]

    def answers(
        self, draft: Sequence[int], logprobs: Sequence[float], entropies: Sequence[float], calibration: Calibration
    ) -> list[Fill]:
        """A fill for each hole, from the log-probabilities (temperature 1) and entropies of all rows.

        A fill's probability is the product of its tokens' probabilities. The token that ends the text counts only if
        the text is empty, because several end tokens mean the same and share their probability. On held-out holes the
        product separates right from wrong fills better than the mean or the minimum.
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
    """The text of the hole `span` with the tokens `ids`. Invalid UTF-8 becomes U+FFFD."""
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    pieces: list[str] = []
    text = ""
    for index, token in enumerate(ids):
        if token == tokenizer.pad_id:
            return HoleText(_flush(pieces, utf8), index + 1)
        spelling = tokenizer.token_bytes(token)
        piece = utf8.decode(spelling[len(span.freed) :] if index == 0 else spelling)
        pieces.append(piece)
        text += piece
        end = _end(text, span)
        if end is not None:
            return HoleText(_cut(pieces, end), index + 1)
    return HoleText(_flush(pieces, utf8), len(ids))


_LINE_START = re.compile(r"\n([ \t]*)(?=\S)")


def _end(text: str, span: Span) -> int | None:
    """Where the text of a hole ends; None if it may go on."""
    ends = [text.find(stop) for stop in (span.stop, span.follows) if stop]
    if span.indent:
        least = len(span.indent.expandtabs(_TAB))
        ends += [line.start() for line in _LINE_START.finditer(text) if len(line[1].expandtabs(_TAB)) < least]
    if span.word and (word := _WORD.match(text)) is not None:
        ends.append(word.end())
    return min((end for end in ends if end >= 0), default=None)


_WORD = re.compile(r"\s*\w+(?=\W)")


_TAB = 4
"""The columns of a tab, if a text mixes tabs and spaces."""


def _flush(pieces: list[str], utf8: codecs.IncrementalDecoder) -> tuple[str, ...]:
    """The pieces; an incomplete character at the end goes into the last one."""
    if pieces:
        pieces[-1] += utf8.decode(b"", final=True)
    return tuple(pieces)


def _cut(pieces: list[str], length: int) -> tuple[str, ...]:
    """The pieces, cut after `length` characters."""
    kept: list[str] = []
    for piece in pieces:
        if length <= 0:
            break
        kept.append(piece[:length])
        length -= len(piece)
    return tuple(kept)
