"""Training examples: a hole in real code in the masked family's layout, and how much of it is decided.

    context = code after the hole, then code before it          slots = what stands from the hole's start on

Slots behind the hole's end hold the code after it: the model learns where a hole ends by predicting what follows. A
pure function of a random generator and the tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from dgls_training.adapter.tokens import Tokens

_LINE_STARTS = 0.4
"""The share of windows that are moved to the start of a line, if one is near."""

_NEAR = 40
"""How many tokens a window is moved at most."""

_LINES, _SHORT = 0.7, 0.15
"""The shares of holes that end with their line, and of holes of a few tokens. The rest has any length."""

_FROM_THE_LEFT = 0.75
"""The share of draws that are decided from the left, as a fill proceeds. In the others any slot may be decided, as
where several holes or a draft stand in the canvas."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """In tokens: the code before and after the hole in a context, and the slots."""

    before: int
    after: int
    slots: int


@dataclass(frozen=True, slots=True)
class Window:
    """`slots[:hole]` is the hole."""

    context: list[int]
    slots: list[int]
    hole: int


class Cutter:
    """Draws windows. A file's probability is proportional to its length; files that are too short are never drawn."""

    def __init__(self, tokens: Tokens, line_ends: frozenset[int], lengths: Lengths) -> None:
        self._tokens, self._line_ends, self._lengths = tokens, line_ends, lengths

    def draw(self, rng: random.Random) -> Window:
        while True:
            window = self._window(rng)
            kind = rng.random()
            if window is None:
                continue
            if kind < _LINES:
                hole = self._line(window)
            elif kind < _LINES + _SHORT:
                hole = rng.randrange(1, 7)
            else:
                hole = rng.randrange(4, self._lengths.slots + 1)
            if hole:
                return self._cut(window, hole)

    def draw_line(self, rng: random.Random) -> Window:
        """A hole that ends with its line."""
        while True:
            window = self._window(rng)
            if window is not None and (hole := self._line(window)):
                return self._cut(window, hole)

    def _window(self, rng: random.Random) -> list[int] | None:
        """Tokens before the hole, of a hole, and after it; None if the file is too short."""
        lengths = self._lengths
        place = rng.randrange(self._tokens.ends[-1])
        start, end = self._tokens.file_at(place)
        size = lengths.before + lengths.slots + lengths.after + lengths.slots
        if end - start <= size:
            return None
        first, last = start + rng.randrange(end - start - size), end - size
        if rng.random() < _LINE_STARTS:
            before = self._tokens.ids[first + lengths.before - 1 : min(first + _NEAR, last) + lengths.before - 1]
            first += next((place for place, id in enumerate(before.tolist()) if id in self._line_ends), 0)
        window: list[int] = self._tokens.ids[first : first + size].tolist()
        return window

    def _line(self, window: Sequence[int]) -> int:
        """The number of tokens up to the line's end; 0 if it is empty or longer than the slots."""
        at = self._lengths.before
        rest = window[at : at + self._lengths.slots + 1]
        return next((place for place, id in enumerate(rest) if id in self._line_ends), 0)

    def _cut(self, window: Sequence[int], hole: int) -> Window:
        at, end = self._lengths.before, self._lengths.before + hole
        after = window[end : end + self._lengths.after]
        return Window([*after, *window[:at]], list(window[at : at + self._lengths.slots]), hole)


def undecided(window: Window, rng: random.Random, whole: bool = False) -> list[bool]:
    """Which slots are undecided in one draw: all behind the hole and some of the hole, or, if it is to be read as a
    `whole`, none. The last one always is, so no row has to show it."""
    slots = len(window.slots)
    if whole:
        return [False] * (slots - 1) + [True]
    end = min(window.hole, slots - 1)
    if rng.random() < _FROM_THE_LEFT:
        cut = rng.randrange(end + 1)
        return [slot >= cut for slot in range(slots)]
    share = rng.random()
    return [slot >= end or rng.random() < share for slot in range(slots)]
