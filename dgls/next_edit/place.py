"""A place that an edit concerns, and what may stand there. Plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from dgls.code.document import Document, Span

Kind = Literal["rename", "mention", "call", "pattern", "word"]


@dataclass(frozen=True, slots=True)
class Place:
    """`span` of `document`, within one line, where `text` may stand. `opened`: a part of `text` that is only a
    stand-in, for a model to fill; empty if the edit itself says all of it."""

    document: Document
    span: Span
    text: str
    kind: Kind
    opened: str = ""

    @property
    def old_text(self) -> str:
        return self.document.text[self.span.start : self.span.end]

    @property
    def line(self) -> int:
        return self.document.line_at(self.span.start)

    @property
    def line_text(self) -> str:
        return self.document.line_text(self.line)

    @property
    def result(self) -> str:
        """The whole text of the document with the change made."""
        text = self.document.text
        return text[: self.span.start] + self.text + text[self.span.end :]

    @property
    def new_line(self) -> str:
        start = self.document.line_start(self.line)
        end = self.document.line_end(self.line)
        return self.document.text[start : self.span.start] + self.text + self.document.text[self.span.end : end]


def word_spans(document: Document, word: str, within: Span) -> Iterator[Span]:
    """Where the word stands alone, in order."""
    alone = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    return (Span(*match.span()) for match in alone.finditer(document.text, within.start, within.end))


def by_line(document: Document, spans: Iterable[Span], text: str, kind: Kind) -> Iterator[Place]:
    """One place for each line with some of the spans, which are in order: `text` instead of each."""
    lines: dict[int, list[Span]] = {}
    for span in spans:
        lines.setdefault(document.line_at(span.start), []).append(span)
    for same in lines.values():
        parts, at = [], same[0].start
        for span in same:
            parts += [document.text[at : span.start], text]
            at = span.end
        yield Place(document, Span(same[0].start, same[-1].end), "".join(parts), kind)
