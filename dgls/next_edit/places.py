"""All places that an edit concerns, nearest first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dgls.code.document import Document
from dgls.code.syntax import Syntax, parse_all
from dgls.next_edit.calls import Change, calls, calls_elsewhere, signature_change
from dgls.next_edit.edit import Edit
from dgls.next_edit.patterns import equal_annotations, siblings
from dgls.next_edit.place import Place
from dgls.next_edit.renames import Rename, mentions, occurrences, occurrences_elsewhere, rename_of
from dgls.next_edit.words import words

MOST = 8
"""Places of one edit. Behind these the user asks again, or has a better tool for it."""

LONGEST = 200_000
"""Characters of a file that is read."""


def places(edit: Edit, others: Sequence[Document] = (), at: int | None = None) -> list[Place]:
    """The places in the edited document and then in `others`, nearest to the offset `at` first; None: to the edit. A
    place that is not sure to be the same symbol's is left out, unless the text has no grammar."""
    if len(edit.after.text) > LONGEST:
        return []
    after, before = parse_all(edit.after), parse_all(edit.before)
    if after is None or before is None:
        return nearest(edit, words(edit), at)[:MOST]
    if after.has_error(edit.new):
        return []
    rename = rename_of(edit, before, after)
    change = signature_change(edit, before, after)
    near = nearest(edit, _found(edit, after, rename, change), at)
    if rename is not None:
        near += nearest(edit, mentions(rename, edit.after, after), at)
    alike = [each for each in others if each.uri != edit.after.uri and each.language == edit.after.language]
    return [*near, *(place for other in alike for place in _elsewhere(other, edit.after.uri, rename, change))][:MOST]


def nearest(edit: Edit, found: Iterable[Place], at: int | None = None) -> list[Place]:
    """The places but for the edit's own, one for each span, in the order that `places` says."""
    taken = range(edit.new.start, max(edit.new.end, edit.new.start + 1))
    line = edit.after.line_at(edit.new.start if at is None else at)
    apart = {place.span: place for place in found if place.span.start not in taken}.values()
    return sorted(
        apart, key=lambda place: (abs(place.line - line), place.span.start < edit.new.start, place.span.start)
    )


def _found(edit: Edit, after: Syntax, rename: Rename | None, change: Change | None) -> Iterator[Place]:
    if rename is not None:
        yield from occurrences(rename, edit.after, after)
    if change is not None:
        yield from calls(change, edit.after, after)
    if rename is None:
        yield from siblings(edit, after)
        if edit.repeats:  # a first change of a type says little about others (docs/experiments/next-edit.md)
            yield from equal_annotations(edit, after)


def _elsewhere(other: Document, home: str, rename: Rename | None, change: Change | None) -> Iterator[Place]:
    """What other files may use: a function or class, under its name."""
    renamed = rename is not None and rename.public and rename.old in other.text
    called = change is not None and change.signature.public and change.signature.name in other.text
    if not (renamed or called) or len(other.text) > LONGEST or (syntax := parse_all(other)) is None:
        return
    if rename is not None and renamed:
        yield from occurrences_elsewhere(rename, home, other, syntax)
    if change is not None and called:
        yield from calls_elsewhere(change, home, other, syntax)
