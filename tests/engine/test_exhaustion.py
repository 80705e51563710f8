"""What the engine does when memory runs out, and when reading a prompt takes too long."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from dgls_engine import CancelToken, Context, Engine, Hole, Infill, InfillRequest, Pinned
from dgls_engine import engine as engines
from dgls_engine.errors import BrokenCheckpoint, Cancelled, EngineError, NotEnoughMemory
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.family import DiffusionGemma
from dgls_engine.weights.loader import LoadedModel
from tests.engine.checkpoints import raw_checkpoint

MOST = 2048
OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def roomy(peaked: LoadedModel) -> LoadedModel:
    """With a prompt that can be shortened."""
    return peaked.with_profile({"max_prompt_tokens": MOST})


def asked(number: int = 0) -> InfillRequest:
    """Behind more code than any prompt has room for, another one for each number."""
    lines = (f"value_{number}_{line} = index + {line}\n" for line in range(400))
    return InfillRequest(Context(above="".join(lines)), [Pinned("a = "), Hole(max_tokens=3), Pinned("\n")])


def answer(engine: Engine, request: InfillRequest) -> Infill:
    *_, last = engine.infill(request)
    assert isinstance(last, Infill)
    return last


class Fails:
    """Stands for `real` until it was called `calls` times more, then runs out of memory once."""

    def __init__(self, real: Any, calls: int) -> None:
        self._real, self._calls = real, calls

    def __call__(self, *given: Any, **named: Any) -> Any:
        self._calls -= 1
        if self._calls == -1:
            raise OUT
        return self._real(*given, **named)


@pytest.mark.parametrize("captured", [False, True], ids=["eager", "captured"])
@pytest.mark.parametrize("calls", [0, 2], ids=["at once", "amid"])
@pytest.mark.parametrize("place", ["encode", "decode"])
def test_infill_out_of_memory_shortens_prompts_and_frees_memory(
    roomy: LoadedModel, monkeypatch: pytest.MonkeyPatch, place: str, calls: int, captured: bool
) -> None:
    engine = Engine(roomy, captured=captured)
    assert MOST // 2 < answer(engine, asked(1)).prompt_tokens <= MOST
    where = "decode_at" if place == "decode" and captured else place
    monkeypatch.setattr(decoder, where, Fails(getattr(decoder, where), calls))
    with pytest.raises(NotEnoughMemory, match=r"ran out of memory.* shown 1024 tokens") as failed:
        answer(engine, asked())
    assert engine.profile.max_prompt_tokens == engine.info.profile.max_prompt_tokens == MOST // 2
    again = answer(engine, asked())
    assert again.prompt_tokens <= MOST // 2
    assert again.prefilled_tokens == again.prompt_tokens, "what was held is forgotten"
    fresh = Engine(roomy.with_profile({"max_prompt_tokens": MOST // 2}), captured=captured)
    assert again.texts == answer(fresh, asked()).texts
    assert isinstance(failed.value, NotEnoughMemory)


def test_infill_out_of_memory_repeatedly_shrinks_prompt_to_floor(
    roomy: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(roomy)
    for tokens in (1024, 512, 512, 512):
        shorter = engine.profile.max_prompt_tokens > tokens
        monkeypatch.setattr(decoder, "decode", Fails(decoder.decode, 0))
        with pytest.raises(NotEnoughMemory) as failed:
            answer(engine, asked())
        assert engine.profile.max_prompt_tokens == tokens
        assert ("From now on" in str(failed.value)) == shorter
    assert answer(engine, asked()).prompt_tokens <= 512


def test_infill_out_of_memory_frees_tensors_while_error_is_kept(
    roomy: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(roomy)
    held: list[weakref.ref[torch.Tensor]] = []

    def decode(model: Any, ids: torch.Tensor, soft: Any, seen: Any, *rest: Any) -> None:
        held.extend(weakref.ref(tensor) for tensor in (ids, seen.layers[0].keys))
        raise OUT

    monkeypatch.setattr(decoder, "decode", decode)
    with pytest.raises(NotEnoughMemory) as failed:
        answer(engine, asked())
    assert [ref() for ref in held] == [None, None]
    assert failed.value.__traceback__ is not None


def test_open_out_of_memory_after_weights_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> None:
        raise OUT

    monkeypatch.setattr(engines, "Vocabulary", exhausted)
    with pytest.raises(NotEnoughMemory, match="ran out of memory"):
        Engine.open(raw_checkpoint(tmp_path), "cpu")


@pytest.mark.parametrize("error", [OUT, BrokenCheckpoint("a file is cut"), RuntimeError("a bug")])
@pytest.mark.parametrize("place", ["amid the weights", "behind them"])
def test_open_that_fails_frees_weights_while_error_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    held: list[weakref.ref[Any]] = []
    build = DiffusionGemma.build

    def noted(family: DiffusionGemma, config: Any, shapes: Any) -> Any:
        model = build(family, config, shapes)
        held.append(weakref.ref(model))
        return model

    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(DiffusionGemma, "build", noted)
    monkeypatch.setattr(
        *((DiffusionGemma, "finish") if place == "amid the weights" else (engines, "Vocabulary")), fails
    )
    with pytest.raises(NotEnoughMemory if error is OUT else EngineError) as failed:
        Engine.open(raw_checkpoint(tmp_path), "cpu")
    gc.collect()
    assert [ref() for ref in held] == [None]
    assert failed.value.__traceback__ is not None


class Slow:
    """A clock that only reading a prompt moves: by `ms` a token."""

    def __init__(self, ms: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.ms, self.cancel = 0.0, ms, CancelToken()
        real = decoder.encode

        def encode(model: Any, ids: torch.Tensor, *rest: Any) -> None:
            self.now += ids.shape[1] * self.ms / 1000
            real(model, ids, *rest)

        monkeypatch.setattr(decoder, "encode", encode)

    def __call__(self) -> float:
        return self.now


def test_prefill_with_time_limit_shortens_prompts(roomy: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Slow(0.8, monkeypatch)
    engine = Engine(roomy, clock, prefill_ms=1000)
    assert answer(engine, asked(0)).prompt_tokens > MOST // 2
    assert answer(engine, asked(1)).prompt_tokens > MOST // 2, "one reading may have been disturbed"
    found = [answer(engine, asked(number)) for number in (2, 3, 3, 3)]
    assert {one.prompt_tokens > MOST // 4 for one in found} == {True}
    assert max(one.prompt_tokens for one in found) <= MOST // 2
    assert engine.info.profile.max_prompt_tokens == MOST // 2
    assert max(one.timings.prefill_ms for one in found) <= 1000
    assert [one.prefilled_tokens for one in found[2:]] == [0, 0], "the prompt stays the same while one types"
    clock.ms = 0.1
    answer(engine, asked(4))
    assert answer(engine, asked(5)).prompt_tokens > MOST // 2


def test_prefill_cancelled_each_time_still_shortens_prompts(
    roomy: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Slow(10.0, monkeypatch)
    engine = Engine(roomy, clock, prefill_ms=1000)
    for number in range(2):
        cancel = CancelToken()
        encode = decoder.encode

        def and_cancel(*given: Any, token: CancelToken = cancel, encode: Any = encode) -> None:
            encode(*given)
            token.cancel()

        with monkeypatch.context() as patched:
            patched.setattr(decoder, "encode", and_cancel)
            with pytest.raises(Cancelled):
                list(engine.infill(asked(number), cancel))
    assert answer(engine, asked(2)).prompt_tokens <= 512


def test_prefill_without_time_limit_keeps_prompts_whole(roomy: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(roomy, Slow(50.0, monkeypatch))
    assert all(answer(engine, asked(number)).prompt_tokens > MOST // 2 for number in range(4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_close_on_gpu_frees_all_memory(tmp_path: Path) -> None:
    folder, before = raw_checkpoint(tmp_path), torch.cuda.memory_allocated()
    engine = Engine.open(folder, "cuda")
    answer(engine, asked())
    for _ in engine.warm():
        pass
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled) as kept:
        list(engine.infill(asked(1), cancel))
    del kept
    engine.close()
    assert torch.cuda.memory_allocated() == before
    assert engine.count("a b") > 0
    assert engine.info.on_gpu
