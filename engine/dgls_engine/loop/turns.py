"""Which holes are filled together: all of them at once, or one after the other where each has a length to be found.

A request with several such holes would have as many canvases as there are combinations of lengths. In turn there are
only as many as there are lengths: what a hole was filled with is pinned when the next one's turn comes. Knows
segments; neither tokens nor tensors. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dgls_engine.text.length import Length
from dgls_engine.types import Hole, Pinned, Segment


@dataclass(frozen=True, slots=True)
class Turn:
    """What is denoised together. `tries` are the segments with the contested hole at one length after the other.

    `holes` are the numbers, in the request, of the holes that are still open, `contested` is the place of the
    contested one among them. `settles` are the numbers of those that are filled for good when the turn is over.
    """

    tries: tuple[tuple[Segment, ...], ...]
    holes: tuple[int, ...]
    contested: int
    settles: tuple[int, ...]


def next_turn(segments: Sequence[Segment], filled: Mapping[int, str], length: Length) -> Turn:
    """The first hole with several lengths is next, and brings the rest with it when it is the last such one."""
    places = [place for place, segment in enumerate(segments) if isinstance(segment, Hole)]
    left = list(segments)
    for number, text in filled.items():
        left[places[number]] = Pinned(text)
    holes = tuple(number for number in range(len(places)) if number not in filled)
    tried = {number: length.tries(hole) for number in holes if isinstance(hole := left[places[number]], Hole)}
    several = [number for number in holes if len(tried[number]) > 1]
    first = several[0] if several else holes[0]
    tries = tuple(
        tuple(hole if place == places[first] else segment for place, segment in enumerate(left))
        for hole in tried[first]
    )
    return Turn(tries, holes, holes.index(first), (first,) if len(several) > 1 else holes)
