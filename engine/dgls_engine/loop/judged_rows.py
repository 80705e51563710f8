"""Which positions of a canvas are judged together: the seam around a hole, and the tokens of a draft in doubt.

`loop.seam` and `loop.doubt` judge them with an open model, `remote.judging` over a server. Plain numbers; imports no
torch; any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from dgls_engine.text.canvas import Canvas

AFTER, BEFORE = 8, 4
"""How many pinned tokens behind the hole and in front of it count."""

TURNS = 8
"""Canvases of the pass that doubts a draft: each token's next neighbours on either side are clean when it is judged."""

TIE = 1e-3
"""What a nat of unlikelihood counts beside a nat of margin."""


def seam_rows(canvas: Canvas, hole: int) -> list[int]:
    """The positions of a hole, and of the pinned ones among its neighbours, ascending."""
    span = canvas.holes[hole]
    others = {row for row in canvas.rows if not span.start <= row < span.end}
    near = range(max(0, span.start - BEFORE), min(len(canvas.ids), span.end + AFTER))
    return [row for row in near if row not in others]


def doubted_together(rows: Sequence[int]) -> list[Sequence[int]]:
    """The positions of a draft, ascending, in parts of which each is noise in a canvas of its own."""
    return [part for turn in range(TURNS) if (part := rows[turn::TURNS])]
