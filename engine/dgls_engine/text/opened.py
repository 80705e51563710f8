"""The engine's own kind of hole: a caller's hole with fields that only the engine uses.

Plain values; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls_engine.types import Blank, Hole


@dataclass(frozen=True, slots=True)
class Opened(Hole):
    """`healed`: whether token healing applies, because the text before the hole may end in the middle of a word.

    `expected`: the text that the hole replaces. Another text must score better by a margin, which is larger for a
    smaller `strength`. `slack`: the number of tokens that a fill may have beyond `max_tokens` if it then scores better.
    `word`: the fill is one word. `stands`: the expected text competes with the fill.
    """

    healed: bool = True
    expected: str = ""
    strength: float = 1.0
    slack: int = 0
    word: bool = False
    stands: bool = False


def opened(hole: Hole) -> Opened:
    """A caller's hole as the engine's kind of hole."""
    if isinstance(hole, Opened):
        return hole
    return Opened(hole.min_tokens, hole.max_tokens, hole.stop, hole.start, hole.indent, hole.avoid, hole.begins)


def start_text(hole: Hole) -> str | None:
    """The text that a hole starts from; None for a blank hole."""
    return None if isinstance(hole.start, Blank) else hole.start.text
