"""Cuts texts to a budget of tokens for the prompt, between lines and in coarse steps.

The cut moves in steps and not token by token, so that most of the prompt's ids stay the same while a text grows. Knows
tokens, no formats; runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from dgls_engine.text.canvas import Spilled
from dgls_engine.types import Context

_STEPS = 8
"""A cut moves in steps of 1/_STEPS of the budget."""

_CHARACTERS_PER_TOKEN = 6
"""More than the average of code. It bounds the text that is encoded for a budget."""

_NOTHING = Spilled()


class Encoding(Protocol):
    """The part of a tokenizer that this module needs."""

    @property
    def encode(self) -> Callable[[str], Sequence[int]]: ...
    @property
    def token_bytes(self) -> Callable[[int], bytes]: ...


class Remembered:
    """A tokenizer that caches what it encodes: the code around the canvas is the same at the next keystroke, and to
    encode 4,096 tokens takes 37 ms (CPU)."""

    def __init__(self, tokenizer: Encoding) -> None:
        self.encode: Callable[[str], Sequence[int]] = lru_cache(maxsize=8)(tokenizer.encode)
        self.token_bytes = tokenizer.token_bytes


def fit(tokenizer: Encoding, context: Context, budget: int, spilled: Spilled = _NOTHING) -> tuple[list[int], list[int]]:
    """Ids of the start of `below` and of the end of `above`, together at most `budget`, cut between lines.
    What is `spilled` is next to the canvas: at the start of the first list and at the end of the second.

    The text above gets up to two thirds of the budget, in steps; the text below gets the rest. The cut moves only after
    the text above has grown by a step, so most ids stay the same while text is added at its end.
    """
    window = _window(context.above, budget)
    above = [*tokenizer.encode(window), *spilled.before]
    step = max(1, budget // _STEPS)
    above_budget = min(budget - budget // 3, _up_to_step(len(above), step))
    above = _keep_end(tokenizer, above, above_budget, step)
    return start_of(tokenizer, spilled.after + context.below, budget - above_budget), above


def fit_snippets(tokenizer: Encoding, texts: Sequence[str], room: int) -> list[int]:
    """Ids of the first texts, each with a line break at its end, together at most `room`. The last one is cut between
    lines."""
    ids: list[int] = []
    for text in texts:
        text_room = max(0, room - len(ids))
        excerpt = text[: text_room * _CHARACTERS_PER_TOKEN]
        whole = len(excerpt) == len(text)
        text_ids = tokenizer.encode(text.removesuffix("\n") + "\n" if whole else excerpt)
        if not whole or len(text_ids) > text_room:
            longest = min(text_room, len(text_ids))
            ends = (end for end in range(longest, 0, -1) if tokenizer.token_bytes(text_ids[end - 1]).endswith(b"\n"))
            return [*ids, *text_ids[: next(ends, 0)]]
        ids += text_ids
    return ids


def _window(text: str, budget: int) -> str:
    """The end of `text` that may fit the budget. It starts with a whole line and moves in steps as the text grows."""
    characters = budget * _CHARACTERS_PER_TOKEN
    if len(text) <= characters:
        return text
    start = _up_to_step(len(text) - characters, max(1, characters // _STEPS))
    line = text.find("\n", start - 1) + 1
    return text[line or start :]


def _keep_end(tokenizer: Encoding, ids: list[int], budget: int, step: int) -> list[int]:
    if len(ids) <= budget:
        return ids
    start = min(len(ids), _up_to_step(len(ids) - budget, step))
    line_starts = (at for at in range(start, len(ids)) if tokenizer.token_bytes(ids[at - 1]).endswith(b"\n"))
    return ids[next(line_starts, start) :]


def start_of(tokenizer: Encoding, text: str, budget: int, cut: Sequence[int] = ()) -> list[int]:
    """Ids of the whole text if they fit the budget, else of its first lines, followed by `cut`."""
    excerpt = text[: budget * _CHARACTERS_PER_TOKEN]
    ids = list(tokenizer.encode(excerpt))
    if len(ids) <= budget and len(excerpt) == len(text):
        return ids
    end = min(len(ids), budget - len(cut))
    line_ends = (at for at in range(end, 0, -1) if tokenizer.token_bytes(ids[at - 1]).endswith(b"\n"))
    return [*ids[: next(line_ends, end)], *cut]


def _up_to_step(count: int, step: int) -> int:
    return -(-count // step) * step
