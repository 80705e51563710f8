"""What is made ready while nothing is asked, and that requests are as fast and the same after it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dgls_engine import Context, Engine, Hole, Infill, InfillRequest, Limits, Pinned
from dgls_engine.loop.leads import KEEP
from dgls_engine.model.diffusion_gemma.captured import BATCHES, GRAPHS, Captured, Shape, Work
from dgls_engine.model.widths import width_for
from dgls_engine.profile import HolePolicy, Profile
from dgls_engine.text.length import Batch, Pad
from dgls_engine.warming import LINE, usual_shapes
from dgls_engine.weights.loader import LoadedModel

LINES = "def f(x):\n    value = turn(count, key)\n" * 8


def profile(canvas_tokens: int = 256) -> Profile:
    return Profile("raw", "batch", canvas_tokens, 64, canvas_tokens * 3 // 8, canvas_tokens // 4)


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[Shape]:
    """Those that are captured."""
    seen: list[Shape] = []
    original = Captured._captured

    def captured(self: Captured, shape: Shape) -> Work | None:
        seen.append(shape)
        return original(self, shape)

    monkeypatch.setattr(Captured, "_captured", captured)
    return seen


def keystroke(tokens: int) -> InfillRequest:
    segments = (Pinned(LINES), Hole(max_tokens=tokens), Pinned(LINES))
    return InfillRequest(Context(above="import path\n"), segments, Limits(max_steps=4))


def asked(engine: Engine, tokens: int) -> Infill:
    *_, infill = engine.infill(keystroke(tokens))
    assert isinstance(infill, Infill)
    return infill


def test_usual_shapes_are_few_and_start_with_line_lengths() -> None:
    shapes = list(usual_shapes(profile(), Batch(), closing=1))
    assert shapes[0] == (len(Batch().tries(Hole(max_tokens=LINE))), 96 + 64 + LINE + 1)
    assert {count for count, _ in shapes} >= {1, KEEP}
    assert {width_for(tokens, 256) for _, tokens in shapes} == {192, 256}
    assert len(shapes) <= GRAPHS
    assert max(count for count, _ in shapes) <= BATCHES[-1]
    assert {count for count, _ in usual_shapes(profile(), Pad(), closing=0)} == {1}
    assert all(tokens <= 48 for _, tokens in usual_shapes(profile(48), Batch(), closing=1))


@pytest.mark.parametrize("policy", ["pad", "batch"])
def test_infill_on_warm_engine_captures_nothing(flat: LoadedModel, shapes: list[Shape], policy: HolePolicy) -> None:
    own = replace(flat.profile, hole_policy=policy, canvas_tokens=120, before_tokens=50, after_tokens=30)
    engine = Engine(replace(flat, profile=own), captured=True)
    for _ in engine.warm():
        pass
    warmed = len(shapes)
    assert warmed > 0
    asked(engine, LINE)
    assert len(shapes) == warmed
    assert list(engine.warm()) == [None] * len(list(usual_shapes(own, engine._length, 0)))
    assert len(shapes) == warmed


def test_warm_left_at_any_part_changes_no_answer(flat: LoadedModel) -> None:
    """Not by rounding either: the prompt is prefilled in the same chunks."""
    expected = asked(Engine(flat, captured=True), 6)
    for parts in range(3):
        engine = Engine(flat, captured=True)
        for _, _ in zip(range(parts), engine.warm(), strict=False):
            pass
        found = asked(engine, 6)
        assert (found.fills, found.steps) == (expected.fills, expected.steps)


def test_warm_with_a_prompt_keeps_it(flat: LoadedModel) -> None:
    engine = Engine(flat, captured=True)
    asked(engine, 6)
    list(engine.warm())
    assert asked(engine, 6).prefilled_tokens == 0


def test_warm_after_try_out_fills_no_second_time(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(flat, captured=True)
    engine.try_out()
    monkeypatch.setattr(Engine, "try_out", lambda engine: pytest.fail("filled again"))
    assert list(engine.warm())


def test_warm_closed_engine_yields_nothing(flat: LoadedModel) -> None:
    engine = Engine(flat, captured=True)
    warming = engine.warm()
    next(warming)
    engine.close()
    assert list(warming) == list(engine.warm()) == []


def test_warm_eager_engine_yields_nothing(flat: LoadedModel) -> None:
    assert list(Engine(flat).warm()) == []
