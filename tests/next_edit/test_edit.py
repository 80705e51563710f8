"""The stretch that a client's changes touch, against comparing the whole texts."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from dgls.code.document import Change, Document, Position, PositionEncoding
from dgls.next_edit.edit import Stretch, difference

TEXT = st.text(alphabet="ab\n\r\u00e9\U0001f600", max_size=30)
POSITION = st.builds(Position, st.integers(0, 5), st.integers(0, 9))
CHANGE = st.builds(Change, TEXT, POSITION, POSITION) | st.builds(Change, TEXT)
ENCODING = st.sampled_from(["utf-8", "utf-16", "utf-32"])
ORIGIN = Position(0, 0)


@given(TEXT, st.lists(CHANGE, min_size=1, max_size=4), ENCODING)
@example("aa", [Change("a", ORIGIN, ORIGIN)], "utf-8")
@example("ab", [Change("b", ORIGIN, ORIGIN), Change("", ORIGIN, Position(0, 1))], "utf-8")
@example("a\n" * 4, [Change("b", Position(3, 0), Position(3, 1)), Change("b", ORIGIN, Position(0, 1))], "utf-8")
def test_stretch_of_any_changes_is_that_of_comparing_the_texts(
    text: str, changes: list[Change], encoding: PositionEncoding
) -> None:
    before = after = Document("file:///a.py", 1, "python", text)
    stretch: Stretch | None = None
    for change in changes:
        stretch = Stretch.after(stretch, after.replaced(change, encoding), len(change.text))
        after = after.apply([change], 2, encoding)
    assert stretch is not None
    found, compared = stretch.narrowed(before, after), difference(before, after)
    old, new = found.old, found.new
    assert before.text[: old.start] + after.text[new.start : new.end] + before.text[old.end :] == after.text
    assert old.start == new.start
    if old.length and new.length:
        assert found == compared
    else:  # the same letter may stand twice: the texts do not tell which one is new, the changes do
        assert (old.length, new.length) == (compared.old.length, compared.new.length)
        assert old.start <= compared.old.start
