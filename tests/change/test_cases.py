"""Rewriting, refining and fixing: the cases of fixtures/change/README.md."""

import re
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dgls.change.edit import breaks, checked_changes, minimal_changes
from dgls.change.offer import Diagnosed, offers, start
from dgls.change.passage import Outcome, Passage, Room, applied, carry_out
from dgls.change.task import MORE, Action, Task
from dgls.code.document import Document, Span
from dgls.code.syntax import Syntax, parse
from dgls.errors import NothingToDo
from dgls_engine.types import Infill, Limits
from tests.change.scripted import infill_of

FIXTURES = Path(__file__).parents[2] / "fixtures" / "change"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FIXTURES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]
MARKS = re.compile("<SELECT>|</SELECT>|<KEEP>")


@dataclass(frozen=True, slots=True)
class Place:
    document: Document
    span: Span
    keep: tuple[int, ...]
    syntax: Syntax | None


def place_of(language: str, case: dict[str, Any]) -> Place:
    text, marks, at = with_breaks(case["text"], case), [], 0
    for mark in MARKS.finditer(text):
        marks.append((mark[0], mark.start() - at))
        at += len(mark[0])
    document = Document("file:///project/untitled", 1, language, MARKS.sub("", text))
    places = dict(marks)
    span = Span(places["<SELECT>"], places["</SELECT>"])
    keep = tuple(document.line_at(offset) for mark, offset in marks if mark == "<KEEP>")
    return Place(document, span, keep, parse(document, span.start))


def with_breaks(text: str, case: dict[str, Any]) -> str:
    return text.replace("\n", "\r\n") if case.get("crlf") else text


def run(place: Place, case: dict[str, Any]) -> tuple[list[Passage], Outcome]:
    room = Room(*case.get("room", (9999, 3000, 3000, 3000)), instructions=True, count=len)
    strength = case.get("strength", MORE)
    task = Task(Action(case["action"]), place.span, case.get("instruction", ""), strength, place.keep)
    job = start(task, place.document, room, place.syntax)
    said = list(case.get("infill", []))

    def infill(passage: Passage) -> Infill:
        passages.append(passage)
        return infill_of(*(with_breaks(text, case) for text in said.pop(0)))

    passages: list[Passage] = []
    outcome = carry_out(job, infill)
    assert not said, "more infills than canvases"
    return passages, outcome


@pytest.mark.parametrize(("language", "case"), CASES)
def test_action_case_equals_fixture(language: str, case: dict[str, Any]) -> None:
    place = place_of(language, case)
    check_offers(place, case)
    if "nothing" in case:
        with pytest.raises(NothingToDo, match=case["nothing"]):
            run(place, case)
    elif "action" in case:
        passages, outcome = run(place, case)
        check_passages(place, passages, case)
        check_outcome(place, outcome, [gap.origin for each in passages for gap in each.gaps], case)


def check_offers(place: Place, case: dict[str, Any]) -> None:
    diagnosed = [Diagnosed(place.span, case["message"])] if "message" in case else []
    titles = [offer.title for offer in offers(place.document, place.span, place.syntax, diagnosed, instructions=True)]
    assert set(case.get("offers", [])) <= set(titles)
    assert not set(case.get("withheld", [])) & set(titles)


def check_passages(place: Place, passages: list[Passage], case: dict[str, Any]) -> None:
    selected = place.document.text[place.span.start : place.span.end].strip()
    holes = [[each.document.text[gap.span.start : gap.span.end] for gap in each.gaps] for each in passages]
    assert holes == [[with_breaks(hole, case) for hole in canvas] for canvas in case.get("holes", [[selected]])]
    requests = [each.request("", Limits(), seed=0) for each in passages]
    assert all(last != following for last, following in pairwise(requests)), (
        "a repeated request would get the same answer"
    )
    if "strengths" in case:
        assert [each.gaps[0].hole.start.strength for each in passages] == case["strengths"]
    for each, (before, after) in zip(passages, case.get("pinned", []), strict=False):
        text, canvas = each.document.text, each.canvas
        assert text[canvas.start : each.gaps[0].span.start].endswith(with_breaks(before, case))
        pinned_after = text[each.gaps[-1].span.end : canvas.end]
        assert pinned_after.startswith(with_breaks(after, case))
        assert pinned_after or not after


def check_outcome(place: Place, outcome: Outcome, origins: list[Span], case: dict[str, Any]) -> None:
    text = place.document.text
    changes = checked_changes(outcome, minimal_changes(outcome), origins)
    if case.get("unchanged"):
        assert changes == outcome.replacements == ()
        return
    assert applied(place.document, changes).text == with_breaks(case["result"], case)
    if "edits" in case:
        pairs = [[text[each.span.start : each.span.end], each.text] for each in changes]
        assert pairs == [[with_breaks(part, case) for part in pair] for pair in case["edits"]]
    assert breaks(outcome) is case.get("breaks", False)
