"""A text document as the editor has it: immutable, with an index of its lines.

Offsets count code points, as Python's `str` does. LSP positions count lines and the code units of the negotiated
encoding. A line ends at \\n, \\r\\n or \\r and nowhere else, as LSP says (`str.splitlines` also ends one at form
feeds and U+2028). Knows neither the protocol's classes nor the disk. Runs on any thread.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal

PositionEncoding = Literal["utf-8", "utf-16", "utf-32"]

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_WIDE = {"utf-8": re.compile(r"[^\x00-\x7f]"), "utf-16": re.compile(r"[^\x00-\uffff]")}
"""The code points that take more than one code unit."""


@dataclass(frozen=True, slots=True)
class Position:
    """A line and a character in it, both from 0; `character` counts code units."""

    line: int
    character: int


@dataclass(frozen=True, slots=True)
class Span:
    """A pair of offsets, `start <= end`; empty if they are equal."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Change:
    """One edit: `text` replaces the code between two positions, or everything if there are none."""

    text: str
    start: Position | None = None
    end: Position | None = None


@dataclass(frozen=True, slots=True)
class Document:
    uri: str
    version: int
    language: str
    text: str
    _starts: list[int] = field(default_factory=list, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if not self._starts:
            object.__setattr__(self, "_starts", _line_starts(self.text))

    def with_text(self, text: str) -> Document:
        """The document with another text."""
        return replace(self, text=text, _starts=[])

    @property
    def line_count(self) -> int:
        """At least 1; a text that ends in a line break has an empty last line."""
        return len(self._starts)

    @property
    def newline(self) -> str:
        """The line break of the first line, "\\n" if it has none."""
        return self.text[self.line_end(0) : self.next_line(0)] or "\n"

    def line_start(self, line: int) -> int:
        return self._starts[line]

    def line_end(self, line: int) -> int:
        """The offset before the line's break."""
        end = self.next_line(line)
        if line + 1 == len(self._starts):
            return end
        return end - 2 if self.text.endswith("\r\n", self._starts[line], end) else end - 1

    def next_line(self, line: int) -> int:
        """The offset after the line's break."""
        return self._starts[line + 1] if line + 1 < len(self._starts) else len(self.text)

    def line_at(self, offset: int) -> int:
        """The line that contains an offset; its line break is part of it."""
        return bisect_right(self._starts, offset) - 1

    def line_text(self, line: int) -> str:
        """A line without its break."""
        return self.text[self._starts[line] : self.line_end(line)]

    def lines_from(self, offset: int) -> int:
        """The first line that starts at or after an offset; `line_count` when there is none."""
        return bisect_right(self._starts, offset - 1)

    def offset(self, position: Position, encoding: PositionEncoding) -> int:
        """The offset of a position, clamped as LSP says: past a line's end to its break, past the last line to the end.

        A position inside a character of several code units is rounded down.
        """
        if position.line >= len(self._starts):
            return len(self.text)
        if position.line < 0:
            return 0
        return self._starts[position.line] + _code_points(
            self.line_text(position.line), max(0, position.character), encoding
        )

    def position(self, offset: int, encoding: PositionEncoding) -> Position:
        """Offsets outside the text are clamped; one between \\r and \\n is the line's end."""
        offset = min(max(0, offset), len(self.text))
        line = self.line_at(offset)
        start = self._starts[line]
        return Position(
            line,
            _code_units(self.text[start : min(offset, self.line_end(line))], encoding),
        )

    def apply(self, changes: Iterable[Change], version: int, encoding: PositionEncoding) -> Document:
        """The document after `changes`. Each one refers to the text that the previous one produced."""
        document = self
        for change in changes:
            document = document._changed(change, encoding)
        return replace(document, version=version)

    def replaced(self, change: Change, encoding: PositionEncoding) -> Span:
        """What a change replaces."""
        if change.start is None or change.end is None:
            return Span(0, len(self.text))
        start = self.offset(change.start, encoding)
        return Span(start, max(start, self.offset(change.end, encoding)))

    def _changed(self, change: Change, encoding: PositionEncoding) -> Document:
        if change.start is None or change.end is None:
            return Document(self.uri, self.version, self.language, change.text)
        span = self.replaced(change, encoding)
        start, end = span.start, span.end
        text = self.text[:start] + change.text + self.text[end:]
        return replace(self, text=text, _starts=self._starts_after(text, start, end))

    def _starts_after(self, text: str, start: int, end: int) -> list[int]:
        """The line starts of `text`, which differs between `start` and `end`: only those lines are scanned again."""
        first = self.line_at(max(0, start - 1))  # a \r before the change may become half of a \r\n
        last = self.line_at(end)
        growth, top = len(text) - len(self.text), self._starts[first]
        lines = [top + at for at in _line_starts(text[top : self.next_line(last) + growth])]
        below = self._starts[last + 1 :]
        if below:
            lines.pop()  # the next line's start
        return [*self._starts[:first], *lines, *([at + growth for at in below] if growth else below)]


def _line_starts(text: str) -> list[int]:
    """Splitting at \\n is several times faster than the regular expression, which only a lone \\r needs."""
    if text.count("\r") == text.count("\r\n"):
        lengths = map(len, text.split("\n"))
        starts = list(accumulate((length + 1 for length in lengths), initial=0))
        starts.pop()
        return starts
    return [0, *(match.end() for match in _LINE_BREAK.finditer(text))]


def _code_units(text: str, encoding: PositionEncoding) -> int:
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _code_points(line: str, units: int, encoding: PositionEncoding) -> int:
    """How many whole code points the first `units` code units of `line` hold."""
    if encoding == "utf-32" or line.isascii():
        return min(units, len(line))
    surplus = 0  # code units before the current character, minus its index
    for match in _WIDE[encoding].finditer(line):
        index = match.start()
        if index + surplus >= units:
            break
        width = _code_units(match[0], encoding)
        if index + surplus + width > units:
            return index
        surplus += width - 1
    return min(units - surplus, len(line))
