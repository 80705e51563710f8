"""Where the cursor stands: its line's text on either side. Pure; knows neither the tree nor the canvas."""

from __future__ import annotations

from dataclasses import dataclass

from dgls.code.document import Document, Span
from dgls.code.indentation import opens_body
from dgls.code.languages import Language, language_of

CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_CLOSING = frozenset(")]}>\"'`;:, \t")


@dataclass(frozen=True, slots=True)
class Cursor:
    """`left` and `right` are its line's text, without the break."""

    document: Document
    language: Language
    offset: int
    line: int
    left: str
    right: str

    @classmethod
    def at(cls, document: Document, offset: int) -> Cursor:
        line = document.line_at(offset)
        end = document.line_end(line)
        offset = min(offset, end)  # never between \r and \n
        left, right = document.text[document.line_start(line) : offset], document.text[offset:end]
        return cls(document, language_of(document.language, document.uri), offset, line, left, right)

    @property
    def on_blank_line(self) -> bool:
        return not self.left.strip() and not self.right.strip()

    @property
    def span(self) -> Span:
        """What the fill replaces: nothing, or the whitespace that ends a blank line."""
        return Span(self.offset, self.offset + (len(self.right) if self.on_blank_line else 0))

    @property
    def closed_on_the_right(self) -> bool:
        return _CLOSING.issuperset(self.right)

    @property
    def opens_body(self) -> bool:
        return self.closed_on_the_right and opens_body(self.left, self.language)

    @property
    def in_word(self) -> bool:
        return is_word(self.left[-1:]) and is_word(self.right[:1])


def is_word(char: str) -> bool:
    return char.isalnum() or char == "_"
