"""Which place is proposed, by what the model says of each."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dgls.code.document import Document
from dgls.next_edit.edit import Edit, edit_between
from dgls.next_edit.place import Place
from dgls.next_edit.places import places
from dgls.next_edit.search import ASKED, MARGINS, REPEATED, search
from dgls_engine.types import Fill, Infill, InfillRequest, Score, ScoreRequest, Timings


def edit_of(before: str, after: str) -> Edit:
    edit = edit_between(Document("file:///a.py", 1, "python", before), Document("file:///a.py", 2, "python", after))
    assert edit is not None
    return edit


def answered(edit: Edit, gains: Sequence[float], fill: str = "") -> tuple[Place | None, list[ScoreRequest]]:
    """The proposal if the new texts of the places surprise less by these nats, and what was asked."""
    asking, asked, left = search(edit, places(edit), "a.py"), [], list(gains)
    answer: Sequence[Score] | Infill | None = None
    try:
        while True:
            request = next(asking) if answer is None else asking.send(answer)
            if isinstance(request, InfillRequest):
                answer = Infill((Fill(fill, (), 1.0, 1.0),), 1, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)
            else:
                asked.append(request)
                answer = [Score(("t",), (10.0,)), Score(("t",), (10.0 - left.pop(0),))]
    except StopIteration as over:
        return over.value, asked


RENAME = edit_of("def f(w):\n    a = w\n    b = w\n", "def f(width):\n    a = w\n    b = w\n")


def test_search_place_that_the_model_agrees_to_is_proposed() -> None:
    place, asked = answered(RENAME, [MARGINS["rename"]])
    assert place is not None
    assert place.new_line == "    a = width"
    assert [request.texts for request in asked] == [("w", "width")]


def test_search_place_below_the_margin_goes_on_to_the_next() -> None:
    place, _ = answered(RENAME, [MARGINS["rename"] - 0.1, 0.0, 20.0])
    assert place is not None
    assert place.new_line == "    b = width"


def test_search_no_place_that_fits_proposes_nothing() -> None:
    assert answered(RENAME, [-1.0] * 4)[0] is None


def test_search_many_places_asks_about_a_few() -> None:
    body = "".join(f"    x{number} = w\n" for number in range(8))
    edit = edit_of(f"def f(w):\n{body}", f"def f(width):\n{body}")
    assert len({request.before for request in answered(edit, [-1.0] * 16)[1]}) == ASKED


def test_search_model_sees_the_edit_and_the_place_with_one_line_above() -> None:
    request = answered(RENAME, [20.0])[1][0]
    assert request.context.above + request.before == "def f(width):\n    a = "
    assert request.after == "\n"


def test_search_odd_name_is_proposed_if_the_edit_made_it_likelier() -> None:
    place, (_, earlier) = answered(RENAME, [-4.0, -4.0 - MARGINS["rename"]])
    assert place is not None
    assert earlier.context.above + earlier.before == "def f(w):\n    a = "


CALL = edit_of("def f(a):\n    return a\n\nf(1)\n", "def f(a, limit):\n    return a\n\nf(1)\n")


def test_search_new_argument_is_what_the_model_fills() -> None:
    place, asked = answered(CALL, [5.0], fill=" 20")
    assert place is not None
    assert place.new_line == "f(1, 20)"
    assert asked[0].texts == ("1", "1, 20")


@pytest.mark.parametrize("fill", ["", "(", "a\nb"])
def test_search_new_argument_that_is_none_or_breaks_code_is_dropped(fill: str) -> None:
    assert answered(CALL, [5.0], fill=fill)[0] is None


SCOPES = (
    "SIZE = 2\n\n\ndef f(a{}):\n    return a\n\n\ndef g(data):\n"
    "    def inner(part):\n        return f(1)\n\n    return inner\n\n\n"
    "def other(rest):\n    kept = rest\n    return kept\n"
)
SCOPED = edit_of(SCOPES.format(""), SCOPES.format(", limit"))


@pytest.mark.parametrize("fill", ["part", "data", "SIZE", "g", "len(part)", "part.kept", "'rest'", "lambda kept: kept"])
def test_search_new_argument_of_names_in_scope_is_proposed(fill: str) -> None:
    place, _ = answered(SCOPED, [5.0], fill=fill)
    assert place is not None
    assert place.new_line.strip() == f"return f(1, {fill})"


@pytest.mark.parametrize("fill", ["limit", "rest", "kept", "part + rest", "other(kept)", "kept.part"])
def test_search_new_argument_that_only_other_functions_know_is_dropped(fill: str) -> None:
    assert answered(SCOPED, [5.0], fill=fill)[0] is None


LINES = 'a = get("a")\nb = get("b")\n', 'a = fetch("a")\nb = get("b")\n'


@pytest.mark.parametrize(("earlier", "least"), [(None, MARGINS["pattern"]), (("get", "fetch"), REPEATED)])
def test_search_pattern_has_a_smaller_margin_once_a_change_was_made_twice(
    earlier: tuple[str, str] | None, least: float
) -> None:
    before, after = (Document("file:///a.py", number, "python", text) for number, text in enumerate(LINES))
    edit = edit_between(before, after, earlier=earlier)
    assert edit is not None
    assert answered(edit, [least - 0.1, 0.0])[0] is None
    assert answered(edit, [least])[0] is not None


@pytest.mark.parametrize(("gain", "proposed"), [(MARGINS["word"], True), (MARGINS["word"] - 0.1, False)])
def test_search_word_without_a_grammar_needs_its_margin(gain: float, proposed: bool) -> None:
    texts = (f"use(width)\nval {name} = 1\nprint(w)\n" for name in ("w", "width"))
    before, after = (Document("file:///a.kt", 1, "kotlin", text) for text in texts)
    edit = edit_between(before, after)
    assert edit is not None
    place, asked = answered(edit, [gain])
    assert (place is not None) == proposed
    assert len(asked) == 1, "a word's likelihood before the edit is no reason"


def test_search_new_word_for_the_first_one_without_a_grammar_is_a_rename() -> None:
    texts = (f"val {name} = 1\nprint(w) // w\nprint(w)\n" for name in ("w", "width"))
    edit = edit_between(*(Document("file:///a.kt", 1, "kotlin", text) for text in texts))
    assert edit is not None
    assert [(place.kind, place.new_line) for place in places(edit)] == [
        ("rename", "print(width) // w"),
        ("word", "print(w) // width"),
        ("rename", "print(width)"),
    ]
