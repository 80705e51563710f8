"""In code without a grammar: the other occurrences of a replaced word, near the edit. In prose a word says nothing.

Where the first occurrence of a word in the text became a word that was not there, the others in code are most likely
its uses. Of all others only a model can tell, by how much likelier the new word is behind the edited line
(docs/experiments/next-edit.md). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgls.code.document import Span
from dgls.code.languages import language_of
from dgls.code.literals import literal_at
from dgls.next_edit.edit import Edit
from dgls.next_edit.place import Place, by_line, word_spans

NEAR = 8
"""Lines above and below the edit. Farther ones are as often right as wrong."""

_NAME = re.compile(r"[^\W\d]\w*")


def words(edit: Edit) -> Iterator[Place]:
    """One place for each line with occurrences of the one word that the edit replaced by another."""
    replaced = {(old, new) for old, new, _ in edit.replaced()}
    language = language_of(edit.after.language, edit.after.uri)
    if language.kind == "prose" or len(replaced) != 1:
        return
    [(old, new)] = replaced
    if not (_NAME.fullmatch(old) and _NAME.fullmatch(new)):
        return
    document = edit.after
    first, last = document.line_at(edit.new.start) - NEAR, document.line_at(edit.new.end) + NEAR
    start = document.line_start(max(0, first))
    end = document.line_end(min(document.line_count - 1, last))
    found = list(word_spans(document, old, Span(start, end)))
    rename = _is_rename(edit, old, new)
    sure = [each for each in found if rename and literal_at(document.text, start, each.start, language) is None]
    yield from by_line(document, sure, new, "rename")
    yield from by_line(document, [each for each in found if each not in sure], new, "word")


def _is_rename(edit: Edit, old: str, new: str) -> bool:
    """Whether the first occurrence of a word was replaced by a word that the text did not have."""
    above = Span(0, edit.new.start)
    known = word_spans(edit.before, new, Span(0, len(edit.before.text)))
    followed = {each.span.start for each in edit.followed if each.uri == edit.before.uri}
    return not any(word_spans(edit.after, old, above)) and {each.start for each in known} <= followed
