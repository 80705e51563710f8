"""How long a hole is: the policies, behind one interface.

Nobody tells the model how long the missing code is, and a wrong length costs more than anything else. Which policy
suits a model depends on its training, so the model's profile names it. Knows counts of tokens only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from dgls_engine.profile import HolePolicy
from dgls_engine.text.opened import Opened, opened, start_text
from dgls_engine.types import Hole


class Length(Protocol):
    """A policy. `pads`: whether PAD may stand in a hole, where it ends the text and fills what is left. `stops`:
    whether a stop may; where lengths are compared it may not, so that a candidate is as long as its text."""

    @property
    def pads(self) -> bool: ...
    @property
    def stops(self) -> bool: ...

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        """What `hole` is tried as: itself, or itself held to one length after the other."""
        ...

    def positions(self, hole: Hole, drafted: int | None) -> int:
        """Canvas positions for `hole`, whose draft has `drafted` tokens (None: no draft). A draft always fits."""
        ...

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        """Bounds for a hole in whose place so many tokens stood; `slack` comes on top."""
        ...


class Pad:
    """One generous hole; the model fills with PAD what it does not need, so no length has to be searched for.

    DreamOn reports 88-92 % on single lines from any initial length between 4 and 64 this way.
    """

    pads, stops = True, True

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        """Slack is tried and not padded: PAD amid code that is nearly whole was seen to spoil what stands beside it."""
        longer = range(hole.max_tokens + 1, hole.max_tokens + opened(hole).slack + 1)
        return (_without_slack(hole), *(_held(hole, length) for length in longer))

    def positions(self, hole: Hole, drafted: int | None) -> int:
        return max(hole.max_tokens, drafted or 0)

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        return 0, tokens


class Fixed:
    """As many tokens as asked for: for models that were not trained to pad. A draft keeps its own length."""

    pads, stops = False, True

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        return (hole,)

    def positions(self, hole: Hole, drafted: int | None) -> int:
        return hole.max_tokens if drafted is None else max(1, hole.min_tokens, drafted)

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        return tokens, tokens


class Batch:
    """Several lengths in one batched pass, of which the one is taken that surprises least (`loop.contest`).

    A draft keeps its own length. Holes whose turn has not come yet stand at a guess.
    """

    pads, stops = False, False

    def tries(self, hole: Hole) -> tuple[Hole, ...]:
        if start_text(hole) is not None:
            return (hole,)
        slack = opened(hole).slack
        close = range(max(1, hole.min_tokens), hole.max_tokens + slack + 1)
        return tuple(_held(hole, rung) for rung in (close if slack else ladder(hole)))

    def positions(self, hole: Hole, drafted: int | None) -> int:
        guess = hole.max_tokens if opened(hole).expected else max(1, hole.min_tokens, min(_GUESS, hole.max_tokens))
        return guess if drafted is None else max(1, hole.min_tokens, drafted)

    def around(self, tokens: int, slack: int) -> tuple[int, int]:
        return max(1, tokens - 1) if slack else tokens, tokens  # each hole with several lengths costs a turn


_DENSE = 8
"""Up to here every length is tried: one token too many or too few shows most where there are few."""

_GUESS = 8
"""About the median length of what is missing of a line."""


def _held(hole: Hole, length: int) -> Hole:
    return replace(_without_slack(hole), min_tokens=length, max_tokens=length)


def _without_slack(hole: Hole) -> Hole:
    return replace(hole, slack=0) if isinstance(hole, Opened) else hole


def ladder(hole: Hole) -> list[int]:
    """Lengths from `min_tokens` (at least 1) to `max_tokens`, both among them: all the short ones, then each a fourth
    longer."""
    rungs = [max(1, hole.min_tokens)]
    while rungs[-1] < hole.max_tokens:
        rungs.append(min(hole.max_tokens, rungs[-1] + max(1, 0 if rungs[-1] < _DENSE else rungs[-1] // 4)))
    return rungs


def length_policy(name: HolePolicy) -> Length:
    policies: dict[HolePolicy, type[Length]] = {"pad": Pad, "batch": Batch, "fixed": Fixed}
    return policies[name]()
