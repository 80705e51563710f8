"""Judges tokens in a canvas with single passes on a server: the seam of a hole, and the doubts of a draft.

Computes the same values as `loop.seam` and `loop.doubt`, from the log-probabilities that a server returns. A pass that
needs more tokens than one request may ask for is split into several. Pure; knows token ids and positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dgls_engine.loop.judged_rows import TIE, doubted_together, seam_rows
from dgls_engine.remote.wire import MOST_WANTED, Ask, Told
from dgls_engine.text.canvas import Canvas


@dataclass(frozen=True, slots=True)
class Reading:
    """A pass over `shown` that reads the log-probabilities of the `wanted` ids at their positions."""

    shown: Sequence[int]
    wanted: Mapping[int, int]

    def asks(self, prompt: Sequence[int]) -> list[Ask]:
        ids = sorted(set(self.wanted.values()))
        parts = [ids[start : start + MOST_WANTED] for start in range(0, len(ids), MOST_WANTED)]
        end = max(self.wanted) + 1
        return [Ask(prompt, self.shown, (), 1, end, part) for part in parts]

    def of(self, told: Sequence[Told]) -> dict[int, float]:
        """The values by position."""
        return {
            position: next(one.others[position][id] for one in told if id in one.others[position])
            for position, id in self.wanted.items()
        }


def seam(canvas: Canvas, ids: Sequence[int], hole: int, behind: Sequence[int]) -> Reading:
    """Reads a hole's tokens and their neighbours, with `ids` in the hole rows and the noise `behind` after the hole:
    see `loop.seam`."""
    filled = canvas.filled(ids)
    rows = seam_rows(canvas, hole)
    shown = list(filled)
    end = canvas.holes[hole].end
    for row, id in zip((row for row in rows if row >= end), behind, strict=False):
        shown[row] = id
    return Reading(shown, {row: filled[row] for row in rows})


def doubted(canvas: Canvas, rows: Sequence[int], noise: Iterator[int]) -> list[Reading]:
    """Reads the tokens at `rows`, each hidden by noise while its neighbours stay visible: see `loop.doubt`."""
    ids = list(canvas.ids)
    instead = [next(noise) for _ in ids]
    judged = set(rows)
    for hole in canvas.holes:
        for row in range(hole.start, hole.end):
            if row not in judged:
                ids[row] = instead[row]
    return [
        Reading([instead[row] if row in part else id for row, id in enumerate(ids)], {row: ids[row] for row in part})
        for part in doubted_together(rows)
    ]


def doubts(reading: Reading, told: Sequence[Told]) -> dict[int, float]:
    """Maps each position to the margin by which the model prefers another token."""
    return {row: told[0].logprobs[row] - own - TIE * own for row, own in reading.of(told).items()}
