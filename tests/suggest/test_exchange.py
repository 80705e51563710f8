"""A fill is shown up to the first line that the model doubts, and its first line of code always. A rejected fill of
some models gets a second try."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.code.document import Span
from dgls.suggest.exchange import Judged, another, asked, probability_of, sure_part
from dgls.suggest.suggestion import Rejection, Suggestion
from dgls_engine.profile import ModelInfo, Profile, PromptFormat
from dgls_engine.types import (
    CancelToken,
    Context,
    Fill,
    Hole,
    Infill,
    InfillRequest,
    Piece,
    Pinned,
    Resume,
    Step,
    Timings,
)


def pieces(text: str) -> list[Piece]:
    """Tokens parted by `|`; a `?` before one marks it as doubted."""
    return [Piece(part.removeprefix("?"), 0.1 if part.startswith("?") else 0.9) for part in text.split("|")]


@pytest.mark.parametrize(
    ("fill", "kept"),
    [
        ("a = |1", "a = 1"),
        ("a = |1|\n|b = |2|\n|c", "a = 1\nb = 2\nc"),
        ("?a = |1|\n|b = |2", "a = 1\nb = 2"),  # the first line is not ours to judge
        ("a = |?1", "a = 1"),
        ("a = |1|\n|b = |?2|\n|c", "a = 1"),
        ("a = |1|\n|b = |2|\n|?c", "a = 1\nb = 2"),
        ("|\n    |?a|\n    |b|\n    |?c", "\n    a\n    b"),  # behind the colon that opens a body
        ("|?\n    |a|\n    |b", "\n    a\n    b"),
        ("a|?\n    |b|\n    |c", "a"),  # was there to be another line?
        ("a|\n|b|?\n\n\n|c", "a\nb\n\n"),
        ("f(|?)\n|b|\n|c", "f()\nb\nc"),  # its code stands on the first line
        ("f(|?)\nb|\n|c", "f()"),  # and on the second
        ("f(|a|?)\n|b", "f(a)\nb"),
        ("a|\n|b|\n|?}", "a\nb"),
        ("", ""),
        ("\n", "\n"),
    ],
)
def test_sure_part_of_a_fill_ends_before_the_first_doubted_line(fill: str, kept: str) -> None:
    assert sure_part(pieces(fill), 0.3) == kept


PIECE = st.builds(Piece, st.text(alphabet="ab(\n \t", max_size=6), st.floats(0.0, 1.0))


@given(st.lists(PIECE, max_size=12), st.floats(0.0, 1.0))
def test_sure_part_of_any_fill_is_whole_lines_of_sure_tokens(fill: list[Piece], keep_above: float) -> None:
    text = "".join(piece.text for piece in fill)
    kept = sure_part(fill, keep_above)
    assert kept == text or text.startswith(kept + "\n")
    assert kept.strip() or not text.strip()
    start, first_end = 0, (text.lstrip() + "\n").index("\n") + len(text) - len(text.lstrip())
    for piece in fill:
        end = start + len(piece.text)
        if any(not text[at].isspace() for at in range(max(start, first_end), min(end, len(kept)))):
            assert piece.probability >= keep_above
        start = end


@given(st.lists(PIECE, max_size=12), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_sure_part_at_a_lower_threshold_is_no_shorter(fill: list[Piece], one: float, other: float) -> None:
    assert sure_part(fill, min(one, other)).startswith(sure_part(fill, max(one, other)))


@given(st.lists(PIECE, max_size=12), st.integers(0, 40))
def test_probability_of_a_shorter_beginning_is_no_lower(fill: list[Piece], length: int) -> None:
    assert probability_of(fill, length + 1) <= probability_of(fill, length) <= probability_of(fill, 0) == 1.0


def test_probability_of_a_beginning_is_that_of_its_tokens() -> None:
    assert math.isclose(probability_of(pieces("a = |?1|\n|b"), 5), 0.09)
    assert math.isclose(probability_of(pieces("a = |?1|\n|b"), 4), 0.9)


REQUEST = InfillRequest(Context(), [Pinned("x"), Hole(stop="\n", start=Resume("y")), Pinned("z")])


def infill_of(*texts: str) -> Infill:
    fill = Fill("".join(texts), tuple(Piece(text, 0.5) for text in texts), None, 0.5)
    return Infill((fill,), 2, "stable", Timings(1.0, 10.0), 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("texts", "beginning"), [(("    ", " if", " x"), "if"), (("return",), "return"), (("\n",), ""), ((), "")]
)
def test_another_request_avoids_how_the_fill_began(texts: tuple[str, ...], beginning: str) -> None:
    request = another(REQUEST, infill_of(*texts))
    assert request.segments == (Pinned("x"), Hole(stop="\n", avoid=(beginning,)), Pinned("z"))
    again = another(request, infill_of("for"))
    assert again.segments[1] == Hole(stop="\n", avoid=(beginning, "for"))


@dataclass
class Scripted:
    """A model that gives these fills in turn."""

    fills: list[str]
    profile: Profile
    info: ModelInfo = field(init=False)
    requests: list[InfillRequest] = field(default_factory=list)

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        self.requests.append(request)
        yield infill_of(self.fills[len(self.requests) - 1])


def judged(infill: Infill) -> Judged:
    text = infill.texts[0]
    return Rejection.EMPTY if text.startswith("bad") else Suggestion("a", 0, Span(0, 0), text, None)


@pytest.mark.parametrize(
    ("fills", "prompt_format", "once", "text", "tries"),
    [
        (["good"], "plain", False, "good", 1),
        (["bad", "good"], "plain", False, "good", 2),
        (["bad", "bad too"], "plain", False, "bad", 2),
        (["bad"], "plain", True, "bad", 1),
        (["bad"], "raw", False, "bad", 1),
    ],
)
def test_asked_model_that_continues_gets_a_second_try(
    fills: list[str], prompt_format: PromptFormat, once: bool, text: str, tries: int
) -> None:
    model = Scripted(fills, Profile(prompt_format, "fixed", 64, 448, 1, 0))
    suggestion, infill, first = asked(model, REQUEST, judged, once)
    assert len(model.requests) == tries
    assert (infill.texts[0], first.texts[0]) == (text, fills[0])
    assert isinstance(suggestion, Suggestion) == (text == "good")
    assert infill.steps == (4 if infill is not first else 2)
    assert infill.timings.denoise_ms == 5 * infill.steps
