"""The checks before an edit is sent."""

import pytest

from dgls.change.edit import SCREEN_LINES, WrongEdit, breaks, checked_changes, is_large, minimal_changes
from dgls.change.passage import Outcome, Replacement
from dgls.code.document import Document, Span

TEXT = "a = 1\r\nb = '\U0001f600'\r\nc = 3\r\n"
DOCUMENT = Document("file:///a.py", 1, "python", TEXT)
B = Span(TEXT.index("b"), TEXT.index("\r\nc"))


def outcome(*replacements: Replacement, document: Document = DOCUMENT) -> Outcome:
    return Outcome(document, replacements, 1.0)


def test_checked_edit_inside_gap_is_returned() -> None:
    done = outcome(Replacement(B, "b = 2"))
    assert checked_changes(done, minimal_changes(done), [B]) == minimal_changes(done)
    assert checked_changes(outcome(), (), []) == ()


@pytest.mark.parametrize(
    ("changes", "origins", "why"),
    [
        ([Replacement(Span(0, 5), "a = 2")], [B], "outside the gaps"),
        ([Replacement(Span(B.start - 1, B.end), "\nb = 2")], [B], "outside the gaps"),
        ([Replacement(B, "b = 2"), Replacement(B, "b = 2")], [B], "overlap"),
        ([Replacement(Span(B.start, len(TEXT) + 1), "")], [B], "leave the document"),
        ([Replacement(B, "b = 2")], [B, Span(B.start, B.end + 1)], "gaps overlap"),
        ([Replacement(B, "b = 2")], [], "outside the gaps"),
    ],
)
def test_checked_edit_outside_gap_raises(changes: list[Replacement], origins: list[Span], why: str) -> None:
    with pytest.raises(WrongEdit, match=why):
        checked_changes(outcome(*changes[:1]), changes, origins)


def test_checked_edit_of_other_text_raises() -> None:
    with pytest.raises(WrongEdit, match="do not make the outcome"):
        checked_changes(outcome(Replacement(B, "b = 2")), [Replacement(B, "b = 3")], [B])


def long(lines: int) -> Document:
    return Document("file:///a.py", 1, "python", "".join(f"a{line} = {line}\n" for line in range(lines)))


def line_of(document: Document, line: int, text: str) -> Replacement:
    return Replacement(Span(document.line_start(line), document.line_end(line)), text)


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_breaks_first_or_last_of_changes_is_true(language: str) -> None:
    """Whether the changes are near each other or far apart."""
    document = Document("file:///a", 1, language, long(2000).text)
    for lines in ([3, 4], [3, 900], [3, 1990]):
        sound = [line_of(document, line, "f(1)") for line in lines]
        assert not breaks(outcome(*sound, document=document))
        for broken in range(2):
            changes = [line_of(document, line, "f(1" if at == broken else "f(1)") for at, line in enumerate(lines)]
            assert breaks(outcome(*changes, document=document))


def test_breaks_bracket_opened_and_closed_by_two_changes_is_false() -> None:
    document = long(100)
    assert not breaks(outcome(line_of(document, 3, "f(["), line_of(document, 4, "1])"), document=document))
    assert not breaks(outcome(line_of(document, 3, "if x:"), line_of(document, 4, "    pass"), document=document))


def test_is_large_change_over_one_screen_is_true() -> None:
    document = long(200)
    near = [line_of(document, 10, "x = 1"), line_of(document, 10 + SCREEN_LINES - 1, "x = 2")]
    far = [line_of(document, 10, "x = 1"), line_of(document, 10 + SCREEN_LINES, "x = 2")]
    assert not is_large(outcome(*near, document=document))
    assert is_large(outcome(*far, document=document))
    assert is_large(outcome(line_of(document, 10, "x = 1\n" * SCREEN_LINES + "y = 2"), document=document))
    assert not is_large(outcome(document=document))


def test_is_large_two_changed_lines_in_long_replacement_is_false() -> None:
    document = long(200)
    text = document.text.replace("a50 = 50\n", "a50 = 51\n").replace("a52 = 52\n", "")
    done = outcome(Replacement(Span(0, len(document.text)), text), document=document)
    assert [(document.text[each.span.start : each.span.end], each.text) for each in minimal_changes(done)] == [
        ("50", "51"),
        ("\na52 = 52", ""),
    ]
    assert not is_large(done)
