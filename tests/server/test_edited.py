"""What counts as the last edit while a user types, accepts and goes elsewhere."""

from __future__ import annotations

from dataclasses import replace

from dgls.code.document import Document, Span
from dgls.next_edit.edit import difference
from dgls.next_edit.place import Place
from dgls.server.next_edit.edited import Edited, Proposal, following

LINES = ["def f(w):", "    a = w", "    b = w", "    return a", ""]


def document(lines: list[str], version: int = 1, uri: str = "file:///a.py") -> Document:
    return Document(uri, version, "python", "\n".join(lines))


class User:
    """Changes one document, line by line."""

    def __init__(self) -> None:
        self.lines = list(LINES)
        self.edited: Edited | None = None

    @property
    def document(self) -> Document:
        return document(self.lines)

    def writes(self, line: int, *instead: str) -> None:
        before = self.document
        self.lines[line : line + 1] = instead
        self.edited = following(self.edited, before, self.document, difference(before, self.document))

    def edit(self) -> tuple[str, str] | None:
        assert self.edited is not None
        edit = self.edited.edit(self.document)
        return None if edit is None else (edit.old_text, edit.new_text)

    def proposed(self, line: int, old: str, new: str) -> Proposal:
        start = self.document.line_start(line) + self.lines[line].index(old)
        proposal = Proposal("1", Place(self.document, Span(start, start + len(old)), new, "rename"))
        assert self.edited is not None
        self.edited = Edited(self.edited.base, self.edited.first, self.edited.last, proposal=proposal)
        return proposal


def test_edit_typed_key_by_key_is_one() -> None:
    user = User()
    for name in ("", "w", "wi", "wid", "width"):
        user.writes(0, f"def f({name}):")
    assert user.edit() == ("w", "width")


def test_edit_on_another_line_begins_anew() -> None:
    user = User()
    user.writes(0, "def f(width):")
    user.writes(3, "    return b")
    assert user.edit() == ("a", "b")


def test_edit_that_is_undone_is_none() -> None:
    user = User()
    user.writes(0, "def f(width):")
    user.writes(0, LINES[0])
    assert user.edit() is None


def test_edit_with_new_lines_stays_one_where_it_goes_on() -> None:
    user = User()
    user.writes(1, "    a = w", "    c = w")
    user.writes(2, "    c = w + 1")
    assert user.edited is not None
    assert user.edited.base.text == "\n".join(LINES)


def test_accepted_proposal_below_leaves_the_edit_as_it_was() -> None:
    user = User()
    user.writes(0, "def f(width):")
    user.proposed(1, "w", "width")
    user.writes(1, "    a = width")
    assert user.edit() == ("w", "width")
    assert user.edited is not None
    assert user.edited.proposal is None
    assert user.edited.base.line_text(1) == "    a = width"
    assert [user.edited.base.text[each.span.start : each.span.end] for each in user.edited.followed] == ["idth"]


def test_accepted_proposal_above_leaves_the_edit_as_it_was() -> None:
    user = User()
    user.writes(2, "    total = w")
    user.proposed(0, "w", "width")
    user.writes(0, "def f(width):")
    assert user.edit() == ("b", "total")


def test_change_at_the_place_that_is_not_the_proposal_begins_anew() -> None:
    user = User()
    user.writes(0, "def f(width):")
    user.proposed(1, "w", "width")
    user.writes(1, "    a = wide")
    assert user.edit() == ("w", "wide")


def test_accepted_proposals_in_other_files_leave_the_edit_as_it_was() -> None:
    user = User()
    user.writes(0, "def g(w):")
    edited = user.edited
    assert edited is not None
    texts = {"file:///b.py": "import f\nf(f)", "file:///c.py": "import f"}
    for uri, start in (("file:///b.py", 9), ("file:///c.py", 7), ("file:///b.py", 7), ("file:///b.py", 13)):
        before = document([texts[uri]], uri=uri)
        place = Place(before, Span(start, start + 1), "gg", "rename")
        after = document([place.result], uri=uri)
        texts[uri] = after.text
        edited = following(replace(edited, proposal=Proposal("1", place)), before, after, difference(before, after))
        assert edited is not None
    assert texts == {"file:///b.py": "import gg\ngg(gg)", "file:///c.py": "import gg"}
    assert edited == replace(edited, base=document(LINES), first=0, last=0, proposal=None)
    assert sorted((each.uri, each.span.start, each.span.end) for each in edited.followed) == [
        ("file:///b.py", 7, 9),
        ("file:///b.py", 10, 12),
        ("file:///b.py", 13, 15),
        ("file:///c.py", 7, 9),
    ]


def test_refused_place_is_known_again_when_lines_above_were_added() -> None:
    user = User()
    user.writes(0, "def f(width):")
    first = user.proposed(1, "w", "width")
    user.lines.insert(0, "import os")
    assert user.proposed(2, "w", "width").refusal == first.refusal
    assert user.proposed(3, "w", "width").refusal != first.refusal


def test_edit_that_repeats_the_one_before_is_known_as_such() -> None:
    user = User()
    user.writes(1, "    a = wide")
    user.writes(2, "    b = wide")
    assert user.edited is not None
    edit = user.edited.edit(user.document)
    assert edit is not None
    assert edit.repeats
    user.writes(3, "    return b")
    edit = user.edited.edit(user.document)
    assert edit is not None
    assert not edit.repeats
