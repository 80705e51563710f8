"""Holes as the engine opens them: a caller's hole, and what only the engine knows of it.

Plain values; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls_engine.types import Blank, Hole


@dataclass(frozen=True, slots=True)
class Opened(Hole):
    """`healed`: the last token in front may grow into the hole, because the text there was cut anywhere.

    `expected`: the text that stood there; another one must be better by a margin, wider the smaller the `strength`.
    `slack`: by how many tokens more than `max_tokens` the fill may be longer if that is better still.
    """

    healed: bool = True
    expected: str = ""
    strength: float = 1.0
    slack: int = 0


def opened(hole: Hole) -> Opened:
    """What the engine makes of a caller's hole."""
    if isinstance(hole, Opened):
        return hole
    return Opened(hole.min_tokens, hole.max_tokens, hole.stop, hole.start)


def start_text(hole: Hole) -> str | None:
    """The text that a hole starts from, None for a blank one."""
    return None if isinstance(hole.start, Blank) else hole.start.text
