"""How much of a fill the model was sure of: whole lines, up to the first in which it doubted a token.

The first line of code stands or falls with the suggestion's confidence, which is the caller's affair. Knows tokens by
their text and probability alone, neither the model nor the document. Pure; runs on any thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from dgls_engine.types import Piece


def sure_part(pieces: Sequence[Piece], keep_above: float) -> str:
    """The fill's text up to the end of the line before the first doubted one; all of it where there is none.

    A line is doubted if one of its tokens has a lower probability than `keep_above`. A token belongs to all the lines
    that its code stands on, one of whitespace alone to the line it leads to.
    """
    text = "".join(piece.text for piece in pieces)
    first_end = text.find("\n", len(text) - len(text.lstrip()))
    if first_end == -1:
        return text
    start = 0
    for piece in pieces:
        end = start + len(piece.text)
        if piece.probability < keep_above:
            places = [at for at in range(start, end) if not text[at].isspace()] or [end]
            line_starts = (text.rfind("\n", 0, at) for at in places)
            cut = next((at for at in line_starts if at >= first_end), None)
            if cut is not None:
                return text[:cut]
        start = end
    return text


def probability_of(pieces: Sequence[Piece], length: int) -> float:
    """The probability of a fill's first `length` characters: the product of their tokens' probabilities."""
    starts = accumulate((len(piece.text) for piece in pieces), initial=0)
    return math.prod(piece.probability for piece, start in zip(pieces, starts, strict=False) if start < length)
