"""What a user changed: the difference between two versions of a document, as one stretch of whole words.

Knows no trees. Pure; runs on any thread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dgls.code.document import Document, Span
from dgls.code.syntax import common_prefix, common_suffix

MOST_LINES = 3
"""Lines of an edit. A longer one is a paste or a reformatting, which says little about the next edit."""

_MOST_CHARACTERS = 300
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LONGEST_WORD = 200


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where two versions of a text differ: `old` in the one before, `new` in the one after. Both begin at the same
    offset; the text around them is the same."""

    old: Span
    new: Span

    @classmethod
    def after(cls, earlier: Stretch | None, replaced: Span, length: int) -> Stretch:
        """The stretch of one more change: `length` characters instead of `replaced`, which is a span of the text that
        the `earlier` changes led to."""
        former = earlier or cls(replaced, replaced)
        start, end = min(former.new.start, replaced.start), max(former.new.end, replaced.end)
        old = Span(start, former.old.end + end - former.new.end)
        return cls(old, Span(start, end - replaced.length + length))

    def narrowed(self, before: Document, after: Document) -> Stretch:
        """The same without what is equal at its ends."""
        was, now = before.text[self.old.start : self.old.end], after.text[self.new.start : self.new.end]
        head = common_prefix(was, now)
        tail = common_suffix(was[head:], now[head:])
        start = self.old.start + head
        return Stretch(Span(start, self.old.end - tail), Span(start, self.new.end - tail))


@dataclass(frozen=True, slots=True)
class Followed:
    """A part of a document that is as it is because of an edit: an accepted proposal."""

    uri: str
    span: Span

    def moved(self, by: int) -> Followed:
        return replace(self, span=Span(self.span.start + by, self.span.end + by))


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` in `before` was replaced by `new` in `after`. Both spans begin at the same offset, and end and begin at the
    borders of words. `followed` are the proposals accepted so far: in `before`, and in other documents. `repeats`: the
    edit before this one made the same replacement."""

    before: Document
    after: Document
    old: Span
    new: Span
    followed: tuple[Followed, ...] = ()
    repeats: bool = False

    @property
    def old_text(self) -> str:
        return self.before.text[self.old.start : self.old.end]

    @property
    def new_text(self) -> str:
        return self.after.text[self.new.start : self.new.end]

    @property
    def replacement(self) -> tuple[str, str]:
        return self.old_text, self.new_text

    @property
    def lines_before(self) -> str:
        """The changed lines as they were, without the last line break."""
        return _lines(self.before, self.old)

    @property
    def lines_after(self) -> str:
        return _lines(self.after, self.new)

    def replaced(self) -> list[tuple[str, str, int]]:
        """The tokens that another token replaced: the old one, the new one, and its offset in `after`. Empty if tokens
        were added or removed."""
        old, new = _TOKEN.findall(self.old_text), list(_TOKEN.finditer(self.new_text))
        if len(old) != len(new):
            return []
        pairs = zip(old, new, strict=True)
        return [(one, other[0], self.new.start + other.start()) for one, other in pairs if one != other[0]]


def edit_between(
    before: Document, after: Document, followed: tuple[Followed, ...] = (), earlier: tuple[str, str] | None = None
) -> Edit | None:
    """The edit that led from one version to the other; None if there is none, or none that a user would call one.
    `earlier` is the replacement of the edit before it."""
    if before.text == after.text:
        return None
    stretch = difference(before, after)
    old, new, start = stretch.old, stretch.new, stretch.old.start
    if max(old.end - old.start, new.end - new.start) > _MOST_CHARACTERS:
        return None
    left, right = _rest_of_word(after.text, start, -1), _rest_of_word(after.text, new.end, 1)
    old, new = Span(start - left, old.end + right), Span(start - left, new.end + right)
    edit = Edit(before, after, old, new, followed)
    longest = max(edit.lines_before.count("\n"), edit.lines_after.count("\n")) + 1
    changed = edit.old_text.split() != edit.new_text.split()
    if longest > MOST_LINES or not changed:
        return None
    return replace(edit, repeats=edit.replacement == earlier)


def difference(before: Document, after: Document) -> Stretch:
    """Where two versions differ, by comparing them. That takes a millisecond for a megabyte."""
    return Stretch(Span(0, len(before.text)), Span(0, len(after.text))).narrowed(before, after)


def _rest_of_word(text: str, at: int, step: int) -> int:
    """The number of a word's characters from `at` on, to the right or (`step` -1) to the left."""
    part = text[at : at + _LONGEST_WORD] if step > 0 else text[max(0, at - _LONGEST_WORD) : at][::-1]
    found = re.match(r"\w*", part)
    return len(found[0]) if found else 0


def _lines(document: Document, span: Span) -> str:
    first, last = document.line_at(span.start), document.line_at(span.end)
    return document.text[document.line_start(first) : document.line_end(last)]
