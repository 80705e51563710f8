"""The policies that find the length of a hole, behind one interface.

The length of the missing code is unknown, and a wrong length harms a fill more than anything else. The right policy
depends on how the model was trained, so the profile names it. Knows token counts only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from dgls_engine.profile import HolePolicy
from dgls_engine.text.opened import Opened, opened, start_text
from dgls_engine.types import Hole


class Length(Protocol):
    """A policy. `pads`: whether a hole may contain PAD, which ends the text and fills the rest of the hole. `stops`:
    whether a hole may contain its stop. A policy that compares lengths forbids it, so that a text fills its hole."""

    @property
    def pads(self) -> bool: ...
    @property
    def stops(self) -> bool: ...

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        """The holes that compete for `hole`: `hole` alone, or a copy for each length."""
        ...

    def positions(self, hole: Hole, drafted: int | None) -> int:
        """Canvas positions for `hole`. Its draft has `drafted` tokens (None: no draft) and always fits."""
        ...

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        """The bounds (min, max) of a hole that replaces `tokens` tokens; the fill may have `slack` tokens more."""
        ...


class Pad:
    """One hole of the maximum length: the model fills the rest with PAD, so there is no search over lengths.

    DreamOn reports 88-92 % on single lines with this policy, from any initial length between 4 and 64.
    """

    pads, stops = True, True

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        """A hole with slack competes in several lengths without PAD: in nearly complete code, PAD harms the tokens next
        to it (measured)."""
        longer = range(hole.max_tokens + 1, hole.max_tokens + opened(hole).slack + 1)
        return (_without_slack(hole), *(_with_length(hole, length) for length in longer))

    def positions(self, hole: Hole, drafted: int | None) -> int:
        return max(hole.max_tokens, drafted or 0)

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        return 0, tokens


class Grow:
    """One hole, which finds its length while it is denoised, up to the maximum: for models that were trained to make a
    hole longer and shorter (`loop.any_order`)."""

    pads, stops = False, True

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        return (_without_slack(hole),)

    def positions(self, hole: Hole, drafted: int | None) -> int:
        return max(hole.max_tokens, drafted or 0)

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        return 0, tokens + slack


class Fixed:
    """The hole has `max_tokens`, for models that were not trained to pad. A draft keeps its own length."""

    pads, stops = False, True

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        return (hole,) * (2 if opened(hole).stands else 1)

    def positions(self, hole: Hole, drafted: int | None) -> int:
        return hole.max_tokens if drafted is None else max(1, hole.min_tokens, drafted)

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        return tokens, tokens


class Draws(Fixed):
    """As `Fixed`, but a blank hole is filled several times: once with the likeliest tokens, else with tokens drawn by
    chance. The fill after which the code after the hole is likeliest is the answer (`loop.continuation`)."""

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        draws = start_text(hole) is None and hole.stop is not None and not opened(hole).stands
        return (hole,) * _DRAWS if draws else super().tries(hole)


_DRAWS = 4
"""docs/experiments/small-model.md compares numbers of draws."""


class Batch:
    """Several lengths are denoised in one batch; the one with the lowest surprise is the answer (`loop.contest`).

    A draft keeps its own length. Until a hole's turn comes, it has a guessed length.
    """

    pads, stops = False, False

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        if start_text(hole) is not None:
            return (hole,)
        slack = opened(hole).slack
        every_length = range(max(1, hole.min_tokens), hole.max_tokens + slack + 1)
        return tuple(_with_length(hole, length) for length in (every_length if slack else ladder(hole)))

    def positions(self, hole: Hole, drafted: int | None) -> int:
        guess = hole.max_tokens if opened(hole).expected else max(1, hole.min_tokens, min(_GUESS, hole.max_tokens))
        return guess if drafted is None else max(1, hole.min_tokens, drafted)

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        # Without slack there is one length: each hole with several lengths costs a turn.
        return max(1, tokens - 1) if slack else tokens, tokens


class Search(Batch):
    """The same lengths as `Batch`, but only one of them goes on after the first step: the one that the model's
    confidence chooses (`loop.first_pass`)."""


_DENSE = 8
"""Up to this length, each length is tried: in a short hole, one token more or less matters most."""

_GUESS = 8
"""About the median length of the missing part of a line, in tokens."""


def _with_length(hole: Hole, length: int) -> Hole:
    return replace(_without_slack(hole), min_tokens=length, max_tokens=length)


def _without_slack(hole: Hole) -> Hole:
    return replace(hole, slack=0) if isinstance(hole, Opened) else hole


def ladder(hole: Hole) -> list[int]:
    """Lengths from `min_tokens` (at least 1) to `max_tokens`, both included: each short one, then in steps of 25 %."""
    lengths = [max(1, hole.min_tokens)]
    while lengths[-1] < hole.max_tokens:
        lengths.append(min(hole.max_tokens, lengths[-1] + max(1, 0 if lengths[-1] < _DENSE else lengths[-1] // 4)))
    return lengths


def next_contest(holes: Sequence[Hole], length: Length) -> tuple[int, bool]:
    """The number of the hole that is filled next, which is the first one with several lengths; and whether it is the
    last such hole, so that all others are filled together with it."""
    several = [number for number, hole in enumerate(holes) if len(length.tries(hole)) > 1]
    return (several or [0])[0], len(several) <= 1


def length_policy(name: HolePolicy) -> Length:
    policies: dict[HolePolicy, type[Length]] = {
        "pad": Pad,
        "batch": Batch,
        "fixed": Fixed,
        "draws": Draws,
        "grow": Grow,
        "search": Search,
    }
    return policies[name]()
