"""The laws of models whose rows all see each other; laws 3 and 6 have files of their own."""

from __future__ import annotations

from itertools import pairwise

import pytest
from torch import Tensor

from dgls_engine import CancelToken, Context, Engine, Hole, InfillRequest, Limits, Pinned
from dgls_engine.errors import Cancelled
from dgls_engine.types import Resume, Revise, Start
from dgls_engine.weights.loader import LoadedModel
from tests.engine.test_laws import ABOVE, BELOW, Clock, drafts, inputs_of, request, run
from tests.engine.whole.slow import (
    MASK,
    canvases_of,
    with_profile,
)


def test_law_1_pinned_tokens_stay_and_decided_ones_unless_masked_again(
    loaded: LoadedModel, passes: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = with_profile(loaded, hole_policy="fixed")
    canvases = canvases_of(monkeypatch)
    run(Engine(fixed), request())
    (canvas,) = canvases
    shown = [ids[0].tolist() for ids in passes]
    for ids in shown:
        assert [ids[row] for row, pinned in enumerate(canvas.pinned) if pinned] == [
            canvas.ids[row] for row, pinned in enumerate(canvas.pinned) if pinned
        ]
    assert len(shown) > 2
    for earlier, later in pairwise(shown):
        changed = [row for row in canvas.rows if earlier[row] not in (MASK, later[row])]
        assert not changed or fixed.profile.decoding == "remask"


def test_law_2_any_seed_gives_the_same_text_and_what_ran_before_does_not_matter(loaded: LoadedModel) -> None:
    one, other = run(Engine(loaded), request()), run(Engine(loaded), request(seed=1))
    assert drafts(one[0]) == drafts(other[0])
    warm = Engine(loaded)
    run(warm, request("class Key:\n    def "))
    assert drafts(run(warm, request())[0]) == drafts(one[0])


def test_law_4_cancel_takes_effect_before_the_next_pass(
    loaded: LoadedModel, engine: Engine, passes: list[Tensor]
) -> None:
    cancel = CancelToken()
    running = engine.infill(request(), cancel)
    next(running)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(running)
    assert len(passes) == 1
    assert drafts(run(engine, request())[0]) == drafts(run(Engine(loaded), request())[0])


def test_law_5_logits_are_computed_for_hole_rows_only(loaded: LoadedModel) -> None:
    fixed = Engine(with_profile(loaded, hole_policy="fixed"))
    with inputs_of(loaded.model.lm_head) as rows:
        steps, infill = run(fixed, request())
    assert len(rows) == len(steps)
    assert max(map(len, rows)) == infill.hole_tokens == 13 < infill.canvas_tokens


@pytest.mark.parametrize(("deadline_ms", "steps"), [(0, 1), (25, 2), (30, 3)])
def test_law_7_a_deadline_is_kept(loaded: LoadedModel, passes: list[Tensor], deadline_ms: int, steps: int) -> None:
    fixed = with_profile(loaded, hole_policy="fixed")
    taken, infill = run(Engine(fixed, clock=Clock(passes)), request(deadline_ms=deadline_ms))
    assert (len(passes), infill.steps, infill.finish) == (steps, steps, "deadline")
    assert infill.texts == drafts(taken)[-1]


@pytest.mark.parametrize("before", ["", "pri", "x = 👩", "a\r\n\t", "é\ud800", "    ", "return ", "e\u0301"])
@pytest.mark.parametrize("above", ["", "import path\n", "x", "\n\n"])
def test_law_8_the_sequence_is_the_file_byte_for_byte(
    one: LoadedModel, passes: list[Tensor], above: str, before: str
) -> None:
    engine = Engine(with_profile(one, hole_policy="fixed"))
    asked = InfillRequest(
        Context(above=above, below="z = 1\n"), [Pinned(before), Hole(max_tokens=4), Pinned("y\n")], Limits(max_steps=1)
    )
    run(engine, asked)
    tokenizer, prompt, canvas = one.tokenizer, list(engine._reading.encoder.ids), passes[0][0].tolist()
    seam = prompt.index(MASK)
    shown = b"".join(tokenizer.token_bytes(id) for id in [*prompt[:seam], *canvas, *prompt[seam + 1 :]])
    plain = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in above + before).encode()
    missing = len(plain) + len("y\nz = 1\n") - len(shown)
    assert 0 <= missing <= len(before.encode(errors="replace")), "the freed bytes of the token before the hole"
    assert shown == plain[: len(plain) - missing] + b"y\nz = 1\n"
    assert MASK in canvas


@pytest.mark.parametrize("start", [Resume("path.read()"), Revise("path.read()", 0.4), Revise("path", 1.0)])
def test_start_text_is_taken(loaded: LoadedModel, start: Start) -> None:
    hole = Hole(max_tokens=6, start=start)
    asked = InfillRequest(Context(above=ABOVE, below=BELOW), [Pinned("x = "), hole, Pinned("\n")])
    _, infill = run(Engine(loaded), asked)
    assert infill.finish == "stable"
