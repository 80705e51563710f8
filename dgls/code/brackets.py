"""Which brackets and quotes a piece of code leaves open: a scan that needs neither a grammar nor the whole file.

It knows strings on one line, triple quotes and line comments. It serves where a tree is no help: on a line that is
being typed, and on the model's text. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls.code.languages import Language

_CLOSES = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Balance:
    """Indices of the brackets without a partner in a text, and the quote or comment that is open at its end."""

    openers: tuple[int, ...]
    closers: tuple[int, ...]
    quote: str = ""
    comment: bool = False


def balance(text: str, language: Language) -> Balance:
    openers: list[int] = []
    closers: list[int] = []
    quote, comment, index = "", False, 0
    while index < len(text):
        char, width = text[index], 1
        if char == "\n":
            quote, comment = (quote if quote == "`" or len(quote) == 3 else ""), False
        elif comment:
            pass
        elif quote:
            if char == "\\":
                width = 2
            elif text.startswith(quote, index):
                width, quote = len(quote), ""
        elif language.line_comment and text.startswith(language.line_comment, index):
            comment = True
        elif char in language.quotes:
            quote = char * 3 if text.startswith(char * 3, index) else char
            width = len(quote)
        elif char in "([{":
            openers.append(index)
        elif char in _CLOSES:
            if openers and text[openers[-1]] == _CLOSES[char]:
                openers.pop()
            else:
                closers.append(index)
        index += width
    return Balance(tuple(openers), tuple(closers), quote, comment)
