"""The places that an edit concerns: the cases of fixtures/next_edit/README.md."""

from __future__ import annotations

import re
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dgls.code.document import Document, Span
from dgls.code.notebook import REACH, Neighbour, View, view_of
from dgls.next_edit.cells import places_in_view
from dgls.next_edit.edit import Followed, edit_between
from dgls.next_edit.place import Place
from dgls.next_edit.places import LONGEST, places

FIXTURES = Path(__file__).parents[2] / "fixtures" / "next_edit"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FIXTURES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]
MARK = re.compile(r"<OLD>(.*?)\|(.*?)</OLD>", re.DOTALL)


def shown(place: Place) -> str:
    text = place.text.replace(place.opened, f"?{place.opened}") if place.opened else place.text
    start, line = place.document.line_start(place.line), place.line_text
    return (line[: place.span.start - start] + text + line[place.span.end - start :]).strip()


@pytest.mark.parametrize("breaks", ["\n", "\r\n"])
@pytest.mark.parametrize(("language", "case"), CASES)
def test_places_of_an_edit(language: str, case: dict[str, Any], breaks: str) -> None:
    def document(name: str, text: str) -> Document:
        return Document(f"file:///project/{name}", 1, language, text.replace("\n", breaks))

    def cells(key: str) -> list[Neighbour]:
        return [Neighbour(document(f"{key}-{number}", text)) for number, text in enumerate(case.get(key, ()))]

    before, after = (document("shapes", MARK.sub(side, case["text"])) for side in (r"\1", r"\2"))
    above, below, notebook = cells("above"), cells("below"), cells("notebook")
    in_notebook = partial(view_of, above=above, below=below, reach=LONGEST)
    others = [partial(View.of_file, document("other", case["other"]))] if "other" in case else []
    others += [partial(view_of, notebook[0].document, (), notebook[1:], LONGEST)] if notebook else []
    mark = MARK.search(case["text"])
    assert mark is not None
    edit = edit_between(before, after, earlier=(mark[1], mark[2]) if case.get("repeats") else None)
    view = in_notebook if above or below else View.of_file
    found = places_in_view(edit, view, others, (after.uri, edit.new.start)) if edit is not None else []
    assert [shown(place) for place in found] == case["next"]


def test_places_in_a_cell_far_away_leave_its_magics_alone() -> None:
    before, after = (Document("cell:1", 1, "python", f"{name} = load()") for name in ("df", "table"))
    far = [Neighbour(Document("cell:2", 1, "python", "x = 1\n" * (REACH // 4)))]
    far.append(Neighbour(Document("cell:3", 1, "python", "%time df\n!echo {df}\nprint(df)")))
    edit = edit_between(before, after)
    assert edit is not None
    found = places_in_view(edit, partial(view_of, below=far, reach=LONGEST), [], ("cell:1", 0))
    assert [(place.document.uri, place.line, shown(place)) for place in found] == [("cell:3", 2, "print(table)")]


def test_places_in_a_notebook_are_nearest_to_the_cursor_in_whatever_cell_it_is() -> None:
    before, after = (Document("cell:1", 1, "python", f"{name} = load()") for name in ("df", "table"))
    below = [Neighbour(Document(f"cell:{number}", 1, "python", f"print(df, {number})")) for number in (2, 3, 4)]
    edit = edit_between(before, after)
    assert edit is not None
    view = partial(view_of, below=below)
    for at, nearest in ((("cell:1", 3), "cell:2"), (("cell:3", 0), "cell:3"), (("file:///b.py", 0), "cell:2")):
        found = places_in_view(edit, view, [], at)
        assert (found[0].document.uri, len(found)) == (nearest, 3)


def test_places_in_a_notebook_after_accepted_ones_go_on() -> None:
    before, after = (Document("cell:1", 1, "python", f"{name} = load()") for name in ("df", "table"))
    below = [Neighbour(Document("cell:2", 1, "python", "print(table)\nprint(df)"))]
    view = partial(view_of, below=below)
    for followed, expected in (((), []), ((Followed("cell:2", Span(6, 11)),), ["print(table)"])):
        edit = edit_between(before, after, followed)
        assert edit is not None
        assert [shown(place) for place in places_in_view(edit, view, [], ("cell:2", 0))] == expected


def test_places_of_a_rename_to_a_known_name_are_none_whatever_was_accepted_in_another_file() -> None:
    before, after = (Document("file:///a.py", 1, "python", f"{name} = 1\ntable = 2\nw") for name in ("w", "table"))
    for uri, expected in (("file:///b.py", []), ("file:///a.py", ["table"])):
        edit = edit_between(before, after, (Followed(uri, Span(6, 11)),))
        assert edit is not None
        assert [shown(place) for place in places(edit)] == expected


@pytest.mark.parametrize(
    ("before", "after"), [("x = 1\n", "x = 1\n"), ("x = 1\n", "x  =  1\n"), ("a\n" * 5, "b\n" * 5), ("", "x" * 400)]
)
def test_edit_that_is_none_or_large_is_not_one(before: str, after: str) -> None:
    made = [Document("file:///a.py", number, "python", text) for number, text in enumerate((before, after))]
    assert edit_between(*made) is None
