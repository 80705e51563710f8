"""In code without a grammar: the other occurrences of a replaced word, near the edit. In prose a word says nothing.

Most of them are no part of the edit. Only a model can tell, by how much likelier the new word is behind the edited line
(docs/experiments/next-edit.md). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgls.code.document import Span
from dgls.code.languages import language_of
from dgls.next_edit.edit import Edit
from dgls.next_edit.place import Place, by_line, word_spans

NEAR = 8
"""Lines above and below the edit. Farther ones are as often right as wrong."""

_NAME = re.compile(r"[^\W\d]\w*")


def words(edit: Edit) -> Iterator[Place]:
    """One place for each line with occurrences of the one word that the edit replaced by another."""
    replaced = {(old, new) for old, new, _ in edit.replaced()}
    prose = language_of(edit.after.language, edit.after.uri).kind == "prose"
    if prose or len(replaced) != 1:
        return
    [(old, new)] = replaced
    if not (_NAME.fullmatch(old) and _NAME.fullmatch(new)):
        return
    document = edit.after
    first, last = document.line_at(edit.new.start) - NEAR, document.line_at(edit.new.end) + NEAR
    start = document.line_start(max(0, first))
    end = document.line_end(min(document.line_count - 1, last))
    yield from by_line(document, word_spans(document, old, Span(start, end)), new, "word")
