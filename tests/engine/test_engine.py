"""Requests in, steps and infills out, on small models of both prompt formats."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dgls_engine import Context, Engine, Hole, Infill, InfillRequest, Limits, Pinned, Step
from dgls_engine.errors import BrokenCheckpoint, EngineClosed, EngineError, RequestTooLarge
from dgls_engine.types import Timings
from dgls_engine.weights.loader import LoadedModel
from tests.engine.checkpoints import masked_checkpoint, raw_checkpoint, without_numbers

HOLE = Hole(max_tokens=6)


def ask(*segments: Hole | Pinned, seed: int = 0, **limits: int) -> InfillRequest:
    return InfillRequest(Context(language="python", above="import path\n"), segments, Limits(**limits), seed)


def run(engine: Engine, asked: InfillRequest) -> tuple[list[Step], Infill]:
    *steps, infill = engine.infill(asked)
    assert isinstance(infill, Infill)
    return steps, infill  # type: ignore[return-value]


def test_steps_ascend_and_the_last_draft_is_the_answer(engine: Engine) -> None:
    steps, infill = run(engine, ask(Pinned("x = "), HOLE, Pinned("\ny = "), HOLE, Pinned("\n")))
    assert [step.index for step in steps] == list(range(1, infill.steps + 1))
    assert tuple(draft.text for draft in steps[-1].fills) == infill.texts
    assert len(infill.fills) == 2
    for step in steps:
        for draft in step.fills:
            assert "".join(piece.text for piece in draft.pieces) == draft.text
            assert len(draft.pieces) <= 6


def test_infill_reports_computed_tokens(loaded: LoadedModel, engine: Engine) -> None:
    _, infill = run(engine, ask(Pinned("x = "), HOLE, Pinned("\n"), max_steps=3))
    assert infill.prompt_tokens == infill.prefilled_tokens == len(loaded.tokenizer.encode("import path\n")) + 2
    assert (infill.steps, infill.finish, infill.hole_tokens) == (3, "steps", 6)
    assert infill.canvas_tokens == len(loaded.tokenizer.encode("x =")) + 6 + 1
    assert infill.timings.prefill_ms > 0
    assert infill.timings.denoise_ms > 0


def test_infill_sure_model_has_higher_probability(flat: LoadedModel, peaked: LoadedModel) -> None:
    asked = ask(Pinned("x = "), HOLE, Pinned("\n"))
    unsure, sure = (run(Engine(model), asked)[1].fills[0].probability for model in (flat, peaked))
    assert 0.0 <= unsure < 0.1
    assert 0.5 < sure <= 1.0


def test_infill_stop_ends_text(engine: Engine) -> None:
    texts = [run(engine, ask(Pinned("x = "), HOLE, Pinned("\n"), seed=seed))[1].texts[0] for seed in range(3)]
    stop = texts[0][len(texts[0]) // 2]
    for seed, whole in enumerate(texts):
        cut = run(engine, ask(Pinned("x = "), Hole(max_tokens=6, stop=stop), Pinned("\n"), seed=seed, max_steps=16))[1]
        assert stop not in cut.texts[0]
        assert cut.steps <= 16
        if cut.steps == 16:
            assert cut.texts[0] == whole.partition(stop)[0]


def test_infill_fixed_policy_fills_every_position(flat: LoadedModel) -> None:
    engine = Engine(replace(flat, profile=replace(flat.profile, hole_policy="fixed")))
    steps, _ = run(engine, ask(Pinned("x = "), HOLE, Pinned("\n")))
    assert all(len(draft.pieces) == 6 for step in steps for draft in step.fills)


def test_infill_chat_model_canvas_has_full_length(chat: LoadedModel) -> None:
    steps, infill = run(Engine(chat), ask(Pinned("def f(x):\n    ret"), HOLE, Pinned("\n"), max_steps=2))
    assert infill.canvas_tokens == chat.profile.canvas_tokens
    assert all(1 <= len(step.fills[0].pieces) <= 6 for step in steps)


def test_infill_empty_segments_or_file_returns(engine: Engine) -> None:
    for segments in ([HOLE], [Pinned(""), HOLE, Pinned("")], [HOLE, HOLE]):
        infill = run(engine, InfillRequest(Context(), segments, Limits(max_steps=2)))[1]
        assert infill.prompt_tokens == 2
        assert infill.hole_tokens == infill.canvas_tokens


@pytest.mark.parametrize("seed", [-1, 2**63, 2**80])
def test_infill_accepts_any_seed(engine: Engine, seed: int) -> None:
    assert run(engine, ask(HOLE, seed=seed, max_steps=1)) is not None


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        (ask(Hole(max_tokens=999)), RequestTooLarge, "ask for fewer holes"),
        (ask(HOLE, max_steps=0), EngineError, "at least 1 step"),
        (ask(HOLE, deadline_ms=-5), EngineError, "not -5"),
    ],
)
def test_infill_invalid_request_raises(
    engine: Engine, asked: InfillRequest, error: type[EngineError], says: str
) -> None:
    with pytest.raises(error, match=says):
        next(engine.infill(asked))


def test_infill_on_closed_engine_raises(fresh: Callable[[], Engine]) -> None:
    with fresh() as engine:
        run(engine, ask(HOLE, max_steps=1))
    engine.close()
    with pytest.raises(EngineClosed, match="open it again"):
        next(engine.infill(ask(HOLE)))


def test_open_folder_with_threads_sets_them(chat_folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        with Engine.open(str(chat_folder), device="cpu", threads=1) as engine:
            assert torch.get_num_threads() == 1
            assert (engine.info.device, engine.info.profile.prompt_format) == ("cpu", "chat")
            assert run(engine, ask(HOLE, max_steps=1))[1].steps == 1
    finally:
        torch.set_num_threads(before)


def test_import_package_loads_neither_torch_nor_transformers() -> None:
    check = (
        "import sys, dgls_engine, dgls_engine.worker, dgls_engine.errors; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("checkpoint", [raw_checkpoint, masked_checkpoint])
def test_try_out_weights_without_numbers_raises(checkpoint: Callable[[Path], Path], tmp_path: Path) -> None:
    with (
        Engine.open(without_numbers(checkpoint(tmp_path)), device="cpu") as engine,
        pytest.raises(BrokenCheckpoint, match="no numbers"),
    ):
        engine.try_out()


def test_try_out_error_of_a_library_says_the_reason(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def incompatible(*_: object) -> None:
        raise TypeError("update() got an unexpected keyword argument 'kwargs'")

    monkeypatch.setattr(Engine, "infill", incompatible)
    with pytest.raises(EngineError, match=r"cannot fill a hole \(update\(\) got an unexpected .*update dgls"):
        engine.try_out()


def test_try_out_changes_no_answer(flat: LoadedModel) -> None:
    tried = Engine(flat)
    tried.try_out()
    question = ask(Pinned("def f(x):\n    ret"), HOLE, Pinned("\n"))
    answers = [replace(run(each, question)[1], timings=Timings(0.0, 0.0)) for each in (tried, Engine(flat))]
    assert answers[0] == answers[1]
