"""Segments to canvas: seams, budgets, drafts, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dgls_engine.errors import RequestTooLarge
from dgls_engine.profile import PromptFormat
from dgls_engine.text.canvas import Canvas, lay_out, lead_in
from dgls_engine.text.length import Fixed, Pad
from dgls_engine.text.opened import Opened
from dgls_engine.types import Context, Hole, Pinned, Revise, Segment
from dgls_engine.weights.loader import LoadedModel


def canvas_of(loaded: LoadedModel, segments: Sequence[Segment], closing: Sequence[int] = (), **budgets: int) -> Canvas:
    profile = replace(loaded.profile, **budgets)
    return lay_out(segments, loaded.tokenizer, profile, Pad().positions, closing)


def pinned_text(loaded: LoadedModel, canvas: Canvas, start: int, end: int) -> str:
    assert all(canvas.pinned[start:end])
    return loaded.tokenizer.decode(canvas.ids[start:end])


def test_lay_out_partial_word_before_hole_frees_last_token(flat: LoadedModel) -> None:
    canvas = canvas_of(flat, [Pinned("def f():\n    pri"), Hole(max_tokens=6), Pinned("\n")])
    (hole,) = canvas.holes
    assert (hole.freed, len(hole)) == (b"pri", 6)
    assert pinned_text(flat, canvas, 0, hole.start) == "def f():\n    "
    assert pinned_text(flat, canvas, hole.end, len(canvas.ids)) == "\n"


@pytest.mark.parametrize("before", ["", "def f(Q"])
def test_lay_out_token_without_extension_frees_nothing(flat: LoadedModel, before: str) -> None:
    """Before an empty text, and behind a token that no other token extends."""
    (hole,) = canvas_of(flat, [Pinned(before), Hole(max_tokens=4)]).holes
    assert (hole.freed, hole.start) == (b"", len(flat.tokenizer.encode(before)))


def test_lay_out_unhealed_hole_frees_nothing(flat: LoadedModel) -> None:
    canvas = canvas_of(flat, [Pinned("def f():\n    pri"), Opened(max_tokens=6, healed=False), Pinned("\n")])
    (hole,) = canvas.holes
    assert (hole.freed, len(hole)) == (b"", 6)
    assert pinned_text(flat, canvas, 0, hole.start) == "def f():\n    pri"


def test_lay_out_several_holes_frees_a_token_before_each(flat: LoadedModel) -> None:
    segments = [
        Pinned("pri"),
        Hole(max_tokens=3),
        Pinned("(x)\nre"),
        Hole(max_tokens=2),
        Hole(max_tokens=2),
        Pinned("\n"),
    ]
    canvas = canvas_of(flat, segments)
    assert [hole.freed for hole in canvas.holes] == [b"pri", b"re", b""]
    first, second, third = canvas.holes
    assert (first.start, second.end) == (0, third.start)
    assert pinned_text(flat, canvas, first.end, second.start) == "(x)\n"


def test_lay_out_neighbouring_pinned_segments_joins_them(flat: LoadedModel) -> None:
    (hole,) = canvas_of(flat, [Pinned("pr"), Pinned("i"), Pinned(""), Hole(max_tokens=3)]).holes
    assert hole.freed == b"pri"


def test_lay_out_long_outer_texts_keeps_ends_near_holes(flat: LoadedModel) -> None:
    lines = [f"value{index} = 1\n" for index in range(40)]
    canvas = canvas_of(flat, [Pinned("".join(lines)), Hole(max_tokens=8), Pinned("".join(lines))])
    (hole,) = canvas.holes
    assert hole.start == flat.profile.before_tokens - len(flat.tokenizer.encode(hole.freed.decode()))
    assert len(canvas.ids) - hole.end == flat.profile.after_tokens
    before = pinned_text(flat, canvas, 0, hole.start) + hole.freed.decode()
    assert "".join(lines).endswith(before)
    assert "".join(lines).startswith(pinned_text(flat, canvas, hole.end, len(canvas.ids)))


def test_lay_out_large_holes_shorten_both_outer_texts(flat: LoadedModel) -> None:
    text = "value = 1\n" * 20
    canvas = canvas_of(flat, [Pinned(text), Hole(max_tokens=38), Pinned(text)])
    (hole,) = canvas.holes
    assert len(canvas.ids) == flat.profile.canvas_tokens
    assert 0 < hole.start < flat.profile.before_tokens
    assert 0 < len(canvas.ids) - hole.end < flat.profile.after_tokens


def test_lay_out_long_text_between_holes_raises(flat: LoadedModel) -> None:
    between = "value = 1\n" * 20
    with pytest.raises(RequestTooLarge, match=f"holds {flat.profile.canvas_tokens}: ask for fewer holes"):
        canvas_of(flat, [Hole(max_tokens=4), Pinned(between), Hole(max_tokens=4)])
    with pytest.raises(RequestTooLarge):
        canvas_of(flat, [Hole(max_tokens=flat.profile.canvas_tokens + 1)])


@pytest.mark.parametrize(("canvas_tokens", "width"), [(40, 40), (64, 64), (200, 64), (256, 64)])
def test_lay_out_with_closing_pads_to_next_width(flat: LoadedModel, canvas_tokens: int, width: int) -> None:
    segments = [Pinned("x = "), Hole(max_tokens=4), Pinned("\n")]
    canvas = canvas_of(flat, segments, closing=(2,), canvas_tokens=canvas_tokens, before_tokens=9, after_tokens=9)
    behind = list(canvas.ids[canvas.holes[0].end + 1 :])
    pad = flat.tokenizer.pad_id
    assert behind == [2] + [pad] * (len(behind) - 1)
    assert len(canvas.ids) == width
    assert canvas.pinned.count(False) == 4


def test_lay_out_draft_fills_start_of_hole(flat: LoadedModel) -> None:
    segments = [Pinned("    pri"), Hole(max_tokens=9, start=Revise("nt(value)", 1.0)), Pinned("\n")]
    canvas = canvas_of(flat, segments)
    (hole,) = canvas.holes
    ids = canvas.ids[hole.start : hole.end]
    assert (hole.freed, len(hole)) == (b"pri", 9)
    assert flat.tokenizer.decode(ids) == "print(value)"
    assert ids[-1] == flat.tokenizer.pad_id


def test_lay_out_draft_not_joined_to_freed_bytes_starts_with_freed_token(flat: LoadedModel) -> None:
    """ "x" + "\\n" are two tokens with or without the seam, and half a character cannot be joined at all."""
    for before, draft in (("imp", "\n = 1"), ("im", "")):
        canvas = canvas_of(flat, [Pinned(before), Hole(max_tokens=9, start=Revise(draft, 1.0))])
        (hole,) = canvas.holes
        assert hole.freed == before.encode()
        assert flat.tokenizer.decode(canvas.ids[hole.start : hole.end]) == before + draft


def test_lay_out_long_draft_enlarges_hole(flat: LoadedModel) -> None:
    draft = "value = 1\n"
    (hole,) = canvas_of(flat, [Hole(max_tokens=2, start=Revise(draft, 1.0))]).holes
    assert len(hole) == len(flat.tokenizer.encode(draft))


def test_positions_by_policy_gives_hole_length() -> None:
    hole = Hole(min_tokens=3, max_tokens=10)
    assert [Pad().positions(hole, drafted) for drafted in (None, 2, 12)] == [10, 10, 12]
    assert [Fixed().positions(hole, drafted) for drafted in (None, 2, 12)] == [10, 3, 12]


@pytest.mark.parametrize("prompt_format", ["plain", "raw"])
def test_lay_out_for_a_model_that_continues_knows_the_code_behind_each_hole(
    flat: LoadedModel, prompt_format: PromptFormat
) -> None:
    profile = replace(flat.profile, prompt_format=prompt_format)
    segments = [Pinned("f("), Hole(max_tokens=3), Pinned(", "), Hole(max_tokens=3), Pinned(")\n")]
    canvas = lay_out(segments, flat.tokenizer, profile, Pad().positions)
    assert [hole.follows for hole in canvas.holes] == ([", ", ")\n"] if prompt_format == "plain" else ["", ""])


def test_lead_in_moves_the_nearest_lines_into_the_segments() -> None:
    context, segments = lead_in(Context(above="a\n\nb\nc\n", below="\nd\n\ne\nf\ng\n"), [Hole()])
    assert (context.above, context.below) == ("a\n\nb", "\ng\n")
    assert segments == (Pinned("\nc\n"), Hole(), Pinned("\nd\n\ne\nf"))
