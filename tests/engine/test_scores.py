"""The surprise of texts that may stand in one place, from models that read on and from models that see both sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dgls_engine import CancelToken, Context, Engine, Hole, InfillRequest, Pinned
from dgls_engine.errors import Cancelled, EngineClosed, EngineError, NotEnoughMemory, RequestTooLarge
from dgls_engine.loop.continuation import AFTER
from dgls_engine.remote.address import Address
from dgls_engine.remote.chat import ChatEngine
from dgls_engine.types import ScoreRequest
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import masked_checkpoint, raw_checkpoint

CONTEXT = Context("a.py", "python", above="def area(width, height):\n")
REQUEST = ScoreRequest(CONTEXT, "    return ", ("w * height", "width * height"), "\n\n\nprint(area(2, 3))\n")


@pytest.fixture(scope="module", params=["reads on", "sees both sides"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    make = masked_checkpoint if request.param == "reads on" else raw_checkpoint
    return load(make(tmp_path_factory.mktemp("scored"), sharpness=40.0), "cpu")


@pytest.fixture
def engine(loaded: LoadedModel) -> Engine:
    return Engine(loaded)


def test_scores_tokens_are_those_of_each_text(engine: Engine) -> None:
    for score, text in zip(engine.scores(REQUEST), REQUEST.texts, strict=True):
        read = "".join(score.tokens)  # the first token may begin in front of the text
        assert read in REQUEST.before + text + REQUEST.after
        assert text in read or text.lstrip() in read
        assert all(nats >= 0 for nats in score.surprises)
        assert score.nats == sum(score.surprises)


def test_scores_do_not_depend_on_the_other_texts_or_their_order(engine: Engine) -> None:
    old, new = engine.scores(REQUEST)
    turned = engine.scores(ScoreRequest(CONTEXT, REQUEST.before, REQUEST.texts[::-1], REQUEST.after))
    assert turned[0].nats == pytest.approx(new.nats, abs=1e-3)
    assert turned[1].nats == pytest.approx(old.nats, abs=1e-3)
    other = ScoreRequest(CONTEXT, REQUEST.before, (*REQUEST.texts, "height"), REQUEST.after)
    assert [each.nats for each in engine.scores(other)][:2] == pytest.approx([old.nats, new.nats], abs=1e-3)


def test_scores_leave_fills_as_they_were(engine: Engine) -> None:
    request = InfillRequest(CONTEXT, [Pinned("    return "), Hole(max_tokens=4, stop="\n"), Pinned("\n")])
    (*_, before) = engine.infill(request)
    engine.scores(REQUEST)
    (*_, after) = engine.infill(request)
    assert after.texts == before.texts  # type: ignore[union-attr]


def test_scores_cancelled_raise(engine: Engine) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        engine.scores(REQUEST, cancel)


def test_scores_of_a_closed_engine_raise(engine: Engine) -> None:
    engine.close()
    with pytest.raises(EngineClosed):
        engine.scores(REQUEST)


def test_scores_out_of_memory_raise_an_engine_error(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr("dgls_engine.engine.score_of", full)
    monkeypatch.setattr("dgls_engine.loop.scoring.read_on", full)
    with pytest.raises(NotEnoughMemory):
        engine.scores(REQUEST)


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(masked_checkpoint(tmp_path_factory.mktemp("reading"), sharpness=40.0), "cpu")


def test_scores_of_a_model_that_reads_on_keep_the_prompt_of_the_suggestions(reading: LoadedModel) -> None:
    engine = Engine(reading)
    request = InfillRequest(CONTEXT, [Pinned("    return "), Hole(max_tokens=4, stop="\n"), Pinned("\n")])
    list(engine.infill(request))
    engine.scores(REQUEST)
    (*_, again) = engine.infill(request)
    assert again.prefilled_tokens == 0  # type: ignore[union-attr]


def test_scores_of_a_model_that_reads_on_are_its_own_likelihoods(reading: LoadedModel) -> None:
    """Against one pass over the whole text, without a prompt that is kept."""
    engine, tokenizer = Engine(reading), reading.tokenizer
    text = CONTEXT.above + REQUEST.before
    for score, each in zip(engine.scores(REQUEST), REQUEST.texts, strict=True):
        start, ids = engine._reading.canvas_start, tokenizer.encode(text + each + REQUEST.after)
        count = len(tokenizer.encode(text + each)) + AFTER
        row = [*start, *ids[:count]]
        causal = reading.family.causal(reading.model)
        logits = [causal.read([id]) for id in row]
        own = [float(-one.log_softmax(-1)[id]) for one, id in zip(logits, row[1:], strict=False)]
        assert score.surprises == pytest.approx(own[-len(score.surprises) :], abs=1e-3)
        assert len(score.tokens) == len(score.surprises) > AFTER


@pytest.mark.parametrize("texts", [("", "x"), ("x", "x"), ("x",)])
@pytest.mark.parametrize("before", ["", "y = "])
def test_scores_of_a_model_that_reads_on_take_any_texts(
    reading: LoadedModel, texts: tuple[str, ...], before: str
) -> None:
    scores = Engine(reading).scores(ScoreRequest(Context(), before, texts, "\n"))
    assert all(score.tokens[-1] == "\n" for score in scores)


def test_scores_of_an_empty_text_are_refused_by_a_model_that_sees_both_sides(
    flat: LoadedModel, fresh: Callable[[], Engine]
) -> None:
    with pytest.raises(RequestTooLarge):
        Engine(flat).scores(ScoreRequest(Context(), "y = ", ("", "x"), "\n"))


def test_score_request_without_texts_raises() -> None:
    with pytest.raises(ValueError, match="at least one text"):
        ScoreRequest(Context(), "", ())


def test_scores_of_a_server_are_refused_with_advice(tmp_path: Path) -> None:
    engine = ChatEngine.open(Address("http://127.0.0.1:9", "m"))
    assert not engine.info.scores
    with pytest.raises(EngineError, match="run the model on this machine"):
        engine.scores(REQUEST)
    engine.close()
