"""The last edit of the user: from which text it began, which lines it touched, and what was proposed after it.

Changes to the same lines are one edit. A change elsewhere begins another, unless it is the proposal itself. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dgls.code.document import Document, Span
from dgls.next_edit.edit import Edit, Followed, Stretch, difference, edit_between
from dgls.next_edit.place import Place


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that was proposed under the name `id`."""

    id: str
    place: Place

    @property
    def refusal(self) -> tuple[str, str, int]:
        """What is remembered of a place that the user refused: its document, its line's text, and where in it. It stays
        the same when lines above are added."""
        place = self.place
        return place.document.uri, place.line_text, place.span.start - place.document.line_start(place.line)


@dataclass(frozen=True, slots=True)
class Edited:
    """`base` is the document before the edit. `first` to `last` are the lines of the present text that it touched.
    `refused` are the places that the user does not want changed; see `Proposal.refusal`. `followed` are the accepted
    proposals: in `base`, and in other documents as they are now. `earlier` is the replacement of the edit before this
    one."""

    base: Document
    first: int
    last: int
    refused: frozenset[tuple[str, str, int]] = frozenset()
    followed: tuple[Followed, ...] = ()
    earlier: tuple[str, str] | None = None
    proposal: Proposal | None = None

    def concerns(self, uri: str) -> bool:
        """Whether this edit, or what was proposed after it, is in the document."""
        return self.base.uri == uri or (self.proposal is not None and self.proposal.place.document.uri == uri)

    def edit(self, now: Document) -> Edit | None:
        """The edit that led to the present text; None if it is none."""
        return edit_between(self.base, now, self.followed, self.earlier)

    def refusing(self, proposal: Proposal) -> Edited:
        return replace(self, refused=self.refused | {proposal.refusal}, proposal=None)


def following(edited: Edited | None, before: Document, after: Document, changed: Stretch) -> Edited | None:
    """The last edit, after a document changed from `before` to `after`. Nothing outside of `changed` differs."""
    stretch = changed.narrowed(before, after)
    old, new = stretch.old, stretch.new
    if not old.length and not new.length:
        return edited
    if edited is not None and _is_proposal(edited, after):
        return _accepted(edited, before, old, new)
    touched = before.line_at(old.start), before.line_at(old.end)
    first, last = after.line_at(new.start), after.line_at(new.end)
    if edited is not None and edited.base.uri == after.uri and _meets(edited, touched):
        grown = after.line_count - before.line_count
        return replace(edited, first=min(edited.first, first), last=max(edited.last + grown, last), proposal=None)
    return Edited(before, first, last, earlier=_replacement(edited, before))


def _is_proposal(edited: Edited, after: Document) -> bool:
    place = edited.proposal.place if edited.proposal is not None else None
    return place is not None and place.document.uri == after.uri and place.result == after.text


def _accepted(edited: Edited, before: Document, old: Span, new: Span) -> Edited:
    """The same edit, as if the accepted change had been in the text before it."""
    base = edited.base
    if base.uri != before.uri:
        return replace(edited, followed=_followed(edited, Followed(before.uri, new), old), proposal=None)
    own = difference(base, before)
    moved = own.old.length - own.new.length if old.start >= own.new.end else 0
    text = edited.proposal.place.result[new.start : new.end] if edited.proposal is not None else ""
    start, end = old.start + moved, old.end + moved
    joined = Document(base.uri, base.version, base.language, base.text[:start] + text + base.text[end:])
    followed = _followed(edited, Followed(base.uri, Span(start, start + len(text))), Span(start, end))
    return replace(edited, base=joined, followed=followed, proposal=None)


def _followed(edited: Edited, new: Followed, replaced: Span) -> tuple[Followed, ...]:
    """The accepted proposals once there is another one, in place of `replaced` of its document."""
    grown = new.span.length - replaced.length
    behind = (each.uri == new.uri and each.span.start >= replaced.end for each in edited.followed)
    moved = (each.moved(grown if later else 0) for each, later in zip(edited.followed, behind, strict=True))
    return (*moved, new)


def _replacement(edited: Edited | None, now: Document) -> tuple[str, str] | None:
    edit = edited.edit(now) if edited is not None and edited.base.uri == now.uri else None
    return edit.replacement if edit is not None else None


def _meets(edited: Edited, touched: tuple[int, int]) -> bool:
    return touched[0] <= edited.last and edited.first <= touched[1]
