"""What becomes of a suggestion is read from the texts that follow it."""

import pytest

from dgls.code.document import Document, Span
from dgls.suggest.acceptance import Shown, Verdict
from dgls.suggest.suggestion import Suggestion

OLD = "x = \nend\n"
ALL = "x = foo(bar)\nend\n"


def shown() -> Shown:
    return Shown(document(OLD), Suggestion("file:///a.py", 1, Span(4, 4), "foo(bar)", 0.5, 0.4), "small")


def document(text: str) -> Document:
    return Document("file:///a.py", 1, "python", text)


@pytest.mark.parametrize(
    ("texts", "verdict"),
    [
        ([], "open"),
        ([ALL], "open"),
        ([ALL, "x = foo(bar) \nend\n"], "taken"),
        ([ALL, "more\n" + ALL], "taken"),
        ([ALL, OLD], "refused"),
        (["x = f\nend\n", "x = fo\nend\n", "x = f\nend\n", OLD], "open"),
        (["x = foo\nend\n", ALL, ALL + "\n"], "taken"),
        (["x = foo()\nend\n", ALL, ALL + "\n"], "taken"),
        (["x = foo\nend\n", "x = foo[\nend\n"], "refused"),
        (["x = g\nend\n"], "refused"),
        (["x = \nend\nmore\n"], "refused"),
        (["x =\nend\n"], "refused"),
    ],
    ids=[
        "nothing yet",
        "accepted",
        "accepted and typed on",
        "accepted and edited elsewhere",
        "accepted and undone",
        "begun and deleted",
        "accepted by words",
        "typed with a bracket that the editor closed",
        "begun and left",
        "something else typed",
        "edited elsewhere",
        "deleted before it",
    ],
)
def test_follow_after_edits_gives_the_verdict(texts: list[str], verdict: Verdict) -> None:
    now, found = shown(), "open"
    for text in texts:
        assert found == "open"
        now, found = now.follow(document(text))
    assert found == verdict


@pytest.mark.parametrize(("text", "verdict"), [(ALL, "taken"), ("x = foo\nend\n", "open"), (OLD, "open")])
def test_closed_after_an_edit_counts_only_what_was_filled_in(text: str, verdict: Verdict) -> None:
    assert shown().follow(document(text))[0].closed() == verdict
