"""Which positions of a canvas are judged together: the seam around a hole, and the tokens of a draft in doubt.

`loop.seam` and `loop.doubt` judge them with an open model, `remote.judging` over a server. Plain numbers; imports no
torch; any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from dgls_engine.text.canvas import Canvas

AFTER, BEFORE = 8, 4
"""The number of pinned tokens behind the hole and in front of it that are judged with it."""

TURNS = 8
"""The number of canvases in the pass that judges a draft. Each hides every TURNS-th token, so the neighbours of a
hidden token stay visible."""

TIE = 1e-3
"""The weight of a nat of surprise relative to a nat of margin."""


def seam_rows(canvas: Canvas, hole: int) -> list[int]:
    """The positions of a hole and of its pinned neighbours, ascending."""
    span = canvas.holes[hole]
    others = {row for row in canvas.rows if not span.start <= row < span.end}
    near = range(max(0, span.start - BEFORE), min(len(canvas.ids), span.end + AFTER))
    return [row for row in near if row not in others]


def doubted_together(rows: Sequence[int]) -> list[Sequence[int]]:
    """Split a draft's ascending positions into parts. Each part is noise in its own canvas."""
    return [part for turn in range(TURNS) if (part := rows[turn::TURNS])]
