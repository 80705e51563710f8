"""The places that an edit concerns: the cases of fixtures/next_edit/README.md."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dgls.code.document import Document
from dgls.next_edit.edit import edit_between
from dgls.next_edit.place import Place
from dgls.next_edit.places import places

FIXTURES = Path(__file__).parents[2] / "fixtures" / "next_edit"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FIXTURES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]
URI = "file:///project/shapes"
MARK = re.compile(r"<OLD>(.*?)\|(.*?)</OLD>", re.DOTALL)


def shown(place: Place) -> str:
    text = place.text.replace(place.opened, f"?{place.opened}") if place.opened else place.text
    start, line = place.document.line_start(place.line), place.line_text
    return (line[: place.span.start - start] + text + line[place.span.end - start :]).strip()


@pytest.mark.parametrize("breaks", ["\n", "\r\n"])
@pytest.mark.parametrize(("language", "case"), CASES)
def test_places_of_an_edit(language: str, case: dict[str, Any], breaks: str) -> None:
    text = case["text"].replace("\n", breaks)
    before = Document(URI, 1, language, MARK.sub(r"\1", text))
    after = Document(URI, 2, language, MARK.sub(r"\2", text))
    others = [Document("file:///b", 1, language, case["other"])] if "other" in case else []
    mark = MARK.search(text)
    assert mark is not None
    edit = edit_between(before, after, earlier=(mark[1], mark[2]) if case.get("repeats") else None)
    found = places(edit, others) if edit is not None else []
    assert [shown(place) for place in found] == case["next"]


@pytest.mark.parametrize(
    ("before", "after"), [("x = 1\n", "x = 1\n"), ("x = 1\n", "x  =  1\n"), ("a\n" * 5, "b\n" * 5), ("", "x" * 400)]
)
def test_edit_that_is_none_or_large_is_not_one(before: str, after: str) -> None:
    made = [Document("file:///a.py", number, "python", text) for number, text in enumerate((before, after))]
    assert edit_between(*made) is None
