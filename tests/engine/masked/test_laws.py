"""The laws of masked models; law 3 has a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from torch import Tensor

from dgls_engine import CancelToken, Context, Engine, Hole, InfillRequest, Limits, Pinned
from dgls_engine.errors import Cancelled
from dgls_engine.loop.denoise import Rival
from dgls_engine.loop.lookup import GUESSES
from dgls_engine.loop.masked import LOOKAHEAD, Unmasker
from dgls_engine.loop.noise import Masks
from dgls_engine.model.masked.passes import MaskedPasses
from dgls_engine.text.canvas import Span
from dgls_engine.text.reader import Reader
from dgls_engine.weights.loader import LoadedModel
from tests.engine.masked.slow import mask_of
from tests.engine.test_laws import ABOVE, Clock, drafts, inputs_of, request, run


def test_law_1_pinned_and_decided_tokens_stay_the_same(
    loaded: LoadedModel, engine: Engine, passes: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    rivals: list[Rival] = []
    make, settles = Masks.rival, Unmasker.settled
    held: list[list[int]] = []

    def rival(self: Masks, *canvas: Any, **rest: Any) -> Rival:
        rivals.append(make(self, *canvas, **rest))
        return rivals[-1]

    def settled(self: Unmasker, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        held.append(list(draft))
        return settles(self, draft, entropies)

    monkeypatch.setattr(Masks, "rival", rival)
    monkeypatch.setattr(Unmasker, "settled", settled)
    steps, infill = run(engine, request())
    assert len(passes) == len(held) == len(steps) == infill.steps > 1
    canvas = rivals[0].canvas
    for ids in passes:
        assert ids[canvas.pinned].tolist() == [canvas.ids[row] for row, pin in enumerate(canvas.pinned) if pin]
    for earlier, later in pairwise(held):
        assert all(one in (other, mask_of(loaded)) for one, other in zip(earlier, later, strict=True))
        assert later != earlier, "a step decides a token at least"


def test_law_2_any_seed_gives_the_same_text(fresh: Callable[[], Engine]) -> None:
    one, other = run(fresh(), request()), run(fresh(), request(seed=1))
    assert drafts(one[0]) == drafts(other[0])
    warm = fresh()
    run(warm, request("class Key:\n    def "))
    assert drafts(run(warm, request())[0]) == drafts(one[0])


def test_law_4_cancel_takes_effect_before_the_next_pass(
    engine: Engine, fresh: Callable[[], Engine], passes: list[Tensor]
) -> None:
    cancel = CancelToken()
    running = engine.infill(request(), cancel)
    next(running)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(running)
    assert len(passes) == 1
    assert drafts(run(engine, request())[0]) == drafts(run(fresh(), request())[0])


def test_law_5_logits_are_computed_for_hole_rows_only(loaded: LoadedModel, engine: Engine) -> None:
    with inputs_of(loaded.model.lm_head) as rows:
        steps, infill = run(engine, request())
    assert len(rows) == len(steps)
    assert all(0 < len(hidden) <= GUESSES + LOOKAHEAD for hidden in rows)
    assert GUESSES + LOOKAHEAD < infill.hole_tokens == 13 < infill.canvas_tokens


def test_law_6_typing_computes_only_what_was_typed(loaded: LoadedModel, engine: Engine) -> None:
    """The code before the hole stands in the prompt, so typing there appends to it."""
    first = run(engine, request("def read(path):\n    x = ", max_steps=1))[1]
    assert first.prefilled_tokens == first.prompt_tokens
    then = run(engine, request("def read(path):\n    x = path", max_steps=1))[1]
    assert 0 < then.prefilled_tokens <= len(loaded.tokenizer.encode(" = path"))
    assert run(engine, request("def read(path):\n    x = path", max_steps=1))[1].prefilled_tokens == 0


def test_law_6_outside_it_only_from_the_first_changed_token_on(loaded: LoadedModel, engine: Engine) -> None:
    run(engine, request(above=ABOVE, max_steps=1))
    infill = run(engine, request(above="import key\n" + ABOVE, max_steps=1))[1]
    below = len(loaded.tokenizer.encode("\n\nclass" + "def write(file):\n    return None\n"))
    assert infill.prompt_tokens - infill.prefilled_tokens >= below


@pytest.mark.parametrize(("deadline_ms", "steps"), [(0, 1), (25, 2), (30, 3)])
def test_law_7_a_deadline_is_kept(loaded: LoadedModel, passes: list[Tensor], deadline_ms: int, steps: int) -> None:
    taken, infill = run(Engine(loaded, clock=Clock(passes)), request(deadline_ms=deadline_ms))
    assert (len(passes), infill.steps, infill.finish) == (steps, steps, "deadline")
    assert infill.texts == drafts(taken)[-1]


@pytest.mark.parametrize("before", ["", "pri", "x = 👩", "a\r\n\t", "é\ud800", "    ", "return ", "\n"])
@pytest.mark.parametrize("above", ["", "import path\n", "x", "\n\n"])
def test_law_8_prompt_and_canvas_hold_the_text_byte_for_byte(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, above: str, before: str
) -> None:
    """Whatever the seam does, what the model reads in front of the hole is the user's text."""
    engine, canvases = Engine(llama), []
    original = Reader.__init__

    def noted(reader: Reader, holes: Sequence[Span], tokenizer: Any) -> None:
        canvases.append(holes)
        original(reader, holes, tokenizer)

    monkeypatch.setattr(Reader, "__init__", noted)
    seen: list[Tensor] = []
    whole = MaskedPasses.run
    monkeypatch.setattr(MaskedPasses, "run", lambda self, ids, *rest: (seen.append(ids[0]), whole(self, ids, *rest))[1])
    asked = InfillRequest(
        Context(above=above, below="z = 1\n"), [Pinned(before), Hole(max_tokens=4), Pinned("y\n")], Limits(max_steps=1)
    )
    run(engine, asked)
    tokenizer, [hole] = llama.tokenizer, canvases[0]
    prompt, canvas = list(engine._reading.encoder.ids), seen[0].tolist()
    shown = [*prompt, *canvas[: hole.start]]
    text = b"".join(tokenizer.token_bytes(id) for id in shown) + hole.freed
    plain = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in above + before)
    assert text == ("y\nz = 1\n" + plain).encode()
    assert hole.start >= 1, "row i predicts token i + 1"
    assert shown[0] == tokenizer.id_of("<|start|>")
