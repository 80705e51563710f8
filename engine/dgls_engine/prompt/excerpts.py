"""Which part of a text a prompt shows: cut between lines, in coarse steps, within a budget of tokens.

A text is shortened in steps and not token by token, so that most of the prompt's ids stay the same while it grows.
Knows tokens, no formats; runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from dgls_engine.text.canvas import Spilled
from dgls_engine.types import Context

_STEPS = 8
"""A text is shortened in steps of this part of its budget."""

_CHARACTERS_PER_TOKEN = 6
"""More than code has on average: how much text is worth tokenising for a budget."""

_NOTHING = Spilled()


class Encoding(Protocol):
    """What is needed of a tokenizer."""

    @property
    def encode(self) -> Callable[[str], Sequence[int]]: ...
    @property
    def token_bytes(self) -> Callable[[int], bytes]: ...


class Remembered:
    """Encodes a text once: the code around the canvas is the same at the next keystroke, and to encode 4,096 tokens of
    it takes 37 ms (CPU)."""

    def __init__(self, tokenizer: Encoding) -> None:
        self.encode: Callable[[str], Sequence[int]] = lru_cache(maxsize=8)(tokenizer.encode)
        self.token_bytes = tokenizer.token_bytes


def fit(tokenizer: Encoding, context: Context, budget: int, spilled: Spilled = _NOTHING) -> tuple[list[int], list[int]]:
    """Ids of the start of `below` and of the end of `above`, together at most `budget`, cut between lines. What is
    `spilled` stands between them and the canvas.

    Above may take two thirds and leaves the rest, in steps, to below. Its cut moves only when it has grown by a
    step, so most of its ids stay the same while text is added at its end.
    """
    window = _window(context.above, budget)
    above = [*tokenizer.encode(window), *spilled.before]
    step = max(1, budget // _STEPS)
    above_budget = min(budget - budget // 3, _up_to_step(len(above), step))
    above = _keep_end(tokenizer, above, above_budget, step)
    after = spilled.after[: budget - above_budget]
    return [*after, *start_of(tokenizer, context.below, budget - above_budget - len(after))], above


def fit_snippets(tokenizer: Encoding, texts: Sequence[str], room: int) -> list[int]:
    """Ids of the first texts, each ended by a line break, together at most `room`; the last is cut between lines."""
    ids: list[int] = []
    for text in texts:
        left = max(0, room - len(ids))
        worth = text[: left * _CHARACTERS_PER_TOKEN]
        whole = len(worth) == len(text)
        own = tokenizer.encode(text.removesuffix("\n") + "\n" if whole else worth)
        if not whole or len(own) > left:
            ends = (
                at for at in range(min(left, len(own)), 0, -1) if tokenizer.token_bytes(own[at - 1]).endswith(b"\n")
            )
            return [*ids, *own[: next(ends, 0)]]
        ids += own
    return ids


def _window(text: str, budget: int) -> str:
    """The end of a text that is worth tokenising; starts on a line, and moves in steps as the text grows."""
    most = budget * _CHARACTERS_PER_TOKEN
    if len(text) <= most:
        return text
    start = _up_to_step(len(text) - most, max(1, most // _STEPS))
    line = text.find("\n", start - 1) + 1
    return text[line or start :]


def _keep_end(tokenizer: Encoding, ids: list[int], budget: int, step: int) -> list[int]:
    if len(ids) <= budget:
        return ids
    start = min(len(ids), _up_to_step(len(ids) - budget, step))
    borders = (at for at in range(start, len(ids)) if tokenizer.token_bytes(ids[at - 1]).endswith(b"\n"))
    return ids[next(borders, start) :]


def start_of(tokenizer: Encoding, text: str, budget: int, cut: Sequence[int] = ()) -> list[int]:
    """Ids of a text, or of as many of its first lines as there is a budget for, and `cut`."""
    worth = text[: budget * _CHARACTERS_PER_TOKEN]
    ids = list(tokenizer.encode(worth))
    if len(ids) <= budget and len(worth) == len(text):
        return ids
    end = min(len(ids), budget - len(cut))
    borders = (at for at in range(end, 0, -1) if tokenizer.token_bytes(ids[at - 1]).endswith(b"\n"))
    return [*ids[: next(borders, end)], *cut]


def _up_to_step(count: int, step: int) -> int:
    return -(-count // step) * step
