"""Guesses the next tokens of a text: those that followed the same tokens before.

Code repeats names and calls, so such a guess is often right, and a model that verifies it decides several tokens in one
pass. This is prompt lookup decoding (Saxena, 2023, https://github.com/apoorvumang/prompt-lookup-decoding). Knows token
ids only; runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Sequence

MATCHED = 3
"""A guess follows the last place that has the same last tokens: 3 of them, or else 2, or 1."""

GUESSES = 4
"""docs/experiments/small-model.md compares numbers."""


class Lookup:
    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = ids
        self._next = {
            tuple(ids[place - length : place]): place
            for length in range(1, MATCHED + 1)
            for place in range(length, len(ids))
        }
        """Tokens -> the place behind their last occurrence that a token follows."""

    def after(self, ids: Sequence[int]) -> list[int]:
        """At most `GUESSES` tokens that may follow `ids`."""
        for length in range(min(MATCHED, len(ids)), 0, -1):
            place = self._next.get(tuple(ids[-length:]))
            if place is not None:
                return list(self._ids[place : place + GUESSES])
        return []
