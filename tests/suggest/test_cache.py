"""Typing the beginning of a suggestion serves the rest; any other edit drops it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.code.document import Document, Span
from dgls.suggest.cache import TypedThrough, rebase
from dgls.suggest.suggestion import Suggestion

OLD = Document("untitled:1", 1, "python", "x = \nend\n")
SHOWN = Suggestion("untitled:1", 1, Span(4, 4), "foo(bar)", 0.5)


def later(text: str) -> Document:
    return Document("untitled:1", 2, "python", text)


@pytest.mark.parametrize(
    ("text", "cursor", "rest"),
    [
        ("x = \nend\n", 4, "foo(bar)"),
        ("x = f\nend\n", 5, "oo(bar)"),
        ("x = foo(bar\nend\n", 11, ")"),
        ("x = foo()\nend\n", 8, "bar"),
        ("x = foo(b)\nend\n", 9, "ar"),
    ],
)
def test_rebase_after_typing_the_beginning_keeps_the_rest(text: str, cursor: int, rest: str) -> None:
    assert rebase(SHOWN, OLD, later(text)) == Suggestion("untitled:1", 2, Span(cursor, cursor), rest, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "x = foo(bar)\nend\n",  # all of it
        "x = g\nend\n",  # something else
        "x = f\nend\nmore\n",  # and elsewhere
        "x =\nend\n",  # a deletion
        "x = f]\nend\n",  # a bracket that is not in it
        "x = )\nend\n",  # no typed text before the bracket
    ],
)
def test_rebase_after_another_edit_is_none(text: str) -> None:
    assert rebase(SHOWN, OLD, later(text)) is None


def test_typed_through_after_deleting_letters_serves_them_again() -> None:
    cached = TypedThrough(OLD, (SHOWN,))
    assert [item.new_text for item in cached.at(later("x = fo\nend\n"), 6)] == ["o(bar)"]
    assert [item.new_text for item in cached.at(later("x = f\nend\n"), 5)] == ["oo(bar)"]


def test_typed_through_after_taking_it_back_serves_nothing() -> None:
    cached = TypedThrough(OLD, (SHOWN,))
    assert [item.new_text for item in cached.at(OLD, 4)] == ["foo(bar)"]
    assert cached.at(later(OLD.text), 4) == ()


def test_typed_through_at_the_cursor_serves_only_what_agrees() -> None:
    other = Suggestion("untitled:1", 1, Span(4, 4), "far", 0.4)
    cached = TypedThrough(OLD, (SHOWN, other))
    assert [item.new_text for item in cached.at(later("x = f\nend\n"), 5)] == ["oo(bar)", "ar"]
    assert [item.new_text for item in cached.at(later("x = fa\nend\n"), 6)] == ["r"]
    assert cached.at(later("x = f\nend\n"), 4) == ()


def test_typed_through_invoked_serves_once_some_is_typed() -> None:
    cached = TypedThrough(OLD, (SHOWN,), invoked=True)
    assert cached.at(OLD, 4) == ()
    assert [item.new_text for item in cached.at(later("x = f\nend\n"), 5)] == ["oo(bar)"]


TEXT = st.text(alphabet="ab()\n ", max_size=12)


@given(TEXT, st.text(alphabet="  ", max_size=2), TEXT, TEXT, st.integers(0, 12))
def test_rebase_while_typing_leads_to_the_same_text(
    left: str, replaced: str, right: str, new_text: str, typed: int
) -> None:
    old = Document("untitled:1", 1, "python", left + replaced + right)
    shown = Suggestion("untitled:1", 1, Span(len(left), len(left) + len(replaced)), new_text, 1.0)
    new = later(left + new_text[:typed] + replaced + right)
    rest = rebase(shown, old, new)
    if typed >= len(new_text):
        assert rest is None
    else:
        assert rest is not None
        assert new.text[: rest.span.start] + rest.new_text + new.text[rest.span.end :] == left + new_text + right
