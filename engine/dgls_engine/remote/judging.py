"""What a model thinks of tokens that stand in a canvas, read off in single passes: the seam, and doubts of a draft.

The same readings as `loop.seam` and `loop.doubt`, made of the log-probabilities that a server gives back. A pass
whose tokens are more than one request may ask for is split into several. Pure; knows token ids and positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dgls_engine.loop.judged_rows import TIE, doubted_together, seam_rows
from dgls_engine.remote.wire import MOST_WANTED, Ask, Told
from dgls_engine.text.canvas import Canvas


@dataclass(frozen=True, slots=True)
class Reading:
    """A pass over `shown`, of which the log-probabilities of the `wanted` ids at their positions are read."""

    shown: Sequence[int]
    wanted: Mapping[int, int]

    def asks(self, prompt: Sequence[int]) -> list[Ask]:
        ids = sorted(set(self.wanted.values()))
        parts = [ids[start : start + MOST_WANTED] for start in range(0, len(ids), MOST_WANTED)]
        end = max(self.wanted) + 1
        return [Ask(prompt, self.shown, (), 1, end, part) for part in parts]

    def of(self, told: Sequence[Told]) -> dict[int, float]:
        """By position."""
        return {
            position: next(one.others[position][id] for one in told if id in one.others[position])
            for position, id in self.wanted.items()
        }


def seam(canvas: Canvas, ids: Sequence[int], hole: int, behind: Sequence[int]) -> Reading:
    """Of a hole's tokens and those around it, while the hole rows hold `ids` and the noise `behind` stands behind the
    hole: see `loop.seam`."""
    filled = canvas.filled(ids)
    rows = seam_rows(canvas, hole)
    shown = list(filled)
    end = canvas.holes[hole].end
    for row, id in zip((row for row in rows if row >= end), behind, strict=False):
        shown[row] = id
    return Reading(shown, {row: filled[row] for row in rows})


def doubted(canvas: Canvas, rows: Sequence[int], noise: Iterator[int]) -> list[Reading]:
    """Of the tokens at `rows`, each in a canvas in which it is noise and its neighbours stand: see `loop.doubt`."""
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
    """By position: the margin by which the model would rather have another token."""
    return {row: told[0].logprobs[row] - own - TIE * own for row, own in reading.of(told).items()}
