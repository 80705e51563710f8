"""The places that an edit concerns where documents are seen in views: a notebook's cells are one program.

They are looked for in the views as in files (`places.py`), so that symbols, scopes and distances go across cells, and
are then said of the cell that they are in. A view takes magics away, and a local name stays in its cell, where its
function ends. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dgls.code.document import Document
from dgls.code.notebook import View, continues
from dgls.next_edit.edit import Edit, Followed
from dgls.next_edit.place import Place
from dgls.next_edit.places import places


def places_in_view(
    edit: Edit, view: Callable[[Document], View], others: Sequence[Callable[[], View]], at: tuple[str, int]
) -> list[Place]:
    """The places in the document and around it, and then in `others`, nearest first to `at`, the URI of a document and
    an offset; if the view does not hold that, to the edit. `view` makes the view of both versions of the document."""
    before, after = view(edit.before), view(edit.after)
    own = after.part_of(edit.after.uri)
    if own is None or before.foreign or after.foreign or (own.start and continues(edit.after)):
        return []
    followed = [(before.part_of(each.uri), each) for each in edit.followed]
    joined = replace(
        edit,
        before=before.document,
        after=after.document,
        old=own.seen(edit.old),
        new=own.seen(edit.new),
        followed=tuple(
            Followed(before.document.uri, part.seen(each.span)) for part, each in followed if part is not None
        ),
    )
    seen = [other() for other in others]
    cursor = after.part_of(at[0])
    found = places(joined, [each.document for each in seen], cursor.start + at[1] if cursor is not None else None)
    views = {each.document.uri: each for each in (after, *seen)}
    among = [(views[place.document.uri], place) for place in found]
    return [_told(its, place) for its, place in among if not _in_magic(its, place)]


def _in_magic(view: View, place: Place) -> bool:
    """Whether the place is in a mask, which looks like a comment."""
    return place.kind == "mention" and view.is_magic(place.span.start)


def _told(view: View, place: Place) -> Place:
    """The place, said of the document that it is in."""
    part = view.part_at(place.span.start)
    return replace(place, document=part.document, span=part.own(place.span))
