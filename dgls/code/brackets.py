"""Which brackets a piece of code leaves open, and which string or comment.

A scan that needs no tree: it serves on a line that is being typed, and on the model's text. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls.code.languages import Language
from dgls.code.literals import Open, brackets_of

_CLOSES = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Balance:
    """Indices of the brackets without a partner in a text, and the string or comment that is open at its end."""

    openers: tuple[int, ...]
    closers: tuple[int, ...]
    literal: Open | None

    @property
    def quote(self) -> str:
        """The mark that closes the open string, "" if none is open."""
        return self.literal.end if self.literal is not None and self.literal.kind == "string" else ""


def balance(text: str, language: Language, inside: Open | None = None) -> Balance:
    """The balance of a text that starts `inside` a literal, or in code."""
    openers: list[int] = []
    closers: list[int] = []
    *brackets, literal = brackets_of(text, language, inside)
    for index in brackets:
        assert isinstance(index, int)
        if text[index] in "([{":
            openers.append(index)
        elif openers and text[openers[-1]] == _CLOSES[text[index]]:
            openers.pop()
        else:
            closers.append(index)
    assert not isinstance(literal, int)
    return Balance(tuple(openers), tuple(closers), literal)
