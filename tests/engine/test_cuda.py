"""What only CUDA does: graphs of passes, and steps that wait for nothing. Without a GPU: how a capture fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

from dgls_engine import CancelToken, Context, Engine, Hole, Infill, InfillRequest, Limits, Pinned
from dgls_engine.device import no_waits
from dgls_engine.errors import Cancelled
from dgls_engine.model.diffusion_gemma.captured import CudaGraphs
from dgls_engine.profile import HolePolicy
from dgls_engine.weights.loader import load
from tests.engine.checkpoints import raw_checkpoint
from tests.engine.model.test_captured import ASKED, ask


class FakeCuda:
    """What of CUDA a capture goes through. As in torch 2.11, one that fails leaves its stream current, and the
    allocator broken."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.device_stream, self.side = MagicMock(name="current"), MagicMock(name="side")
        self.current = self.device_stream
        self.mode: int | str = 0
        self.capturing, self.broken = False, False
        names = {
            "current_stream": lambda device=None: self.current,
            "graph_pool_handle": lambda: (0, 1),
            "Stream": lambda device: self.side,
            "device": lambda device: nullcontext(),
            "stream": self.stream,
            "CUDAGraph": MagicMock,
            "graph": self.graph,
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": lambda mode: setattr(self, "mode", mode),
        }
        for name, value in names.items():
            patch.setattr(torch.cuda, name, value)

    @contextmanager
    def stream(self, stream: MagicMock) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def graph(self, graph: MagicMock, pool: object, stream: MagicMock, capture_error_mode: str) -> Iterator[None]:
        before, self.current, self.capturing = self.current, stream, True
        yield
        self.current, self.capturing = before, False

    def wait(self) -> None:
        if self.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")
        if self.capturing:
            self.broken = True
            raise RuntimeError("operation not permitted when stream is capturing")


def test_capture_pass_that_syncs_raises_and_restores_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    with pytest.raises(RuntimeError, match="synchronizing"):
        CudaGraphs(torch.device("cuda"))(cuda.wait)
    assert not cuda.broken
    assert cuda.current is cuda.device_stream
    assert cuda.mode == 0
    cuda.device_stream.wait_stream.assert_called_once_with(cuda.side)


def test_capture_that_fails_restores_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)

    def work() -> None:
        assert cuda.current is cuda.side
        if cuda.capturing:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        CudaGraphs(torch.device("cuda"))(work)
    assert cuda.current is cuda.device_stream


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("policy", ["pad", "batch"])
def test_step_syncs_only_at_its_report(tmp_path: Path, policy: HolePolicy) -> None:
    loaded = load(raw_checkpoint(tmp_path), "cuda")
    engine = Engine(replace(loaded, profile=replace(loaded.profile, hole_policy=policy)))
    asked = InfillRequest(Context(), (Pinned("x = "), Hole(max_tokens=4), Pinned("\n")), Limits(max_steps=9))
    list(engine.infill(asked))
    running = engine.infill(asked)
    for _ in range(3):  # behind the one at which lengths are judged
        next(running)
    with no_waits():
        next(running)
        next(running)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("policy", ["pad", "batch"])
def test_laws_2_4_and_6_on_gpu_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture, policy: HolePolicy) -> None:
    """With all that an engine takes there: captured passes, our kernels, and a pass that is under way."""
    loaded = load(raw_checkpoint(tmp_path, sharpness=60.0), "cuda")
    loaded = replace(loaded, profile=replace(loaded.profile, hole_policy=policy))

    def asked(engine: Engine, cancel: CancelToken | None = None) -> Infill:
        *_, infill = engine.infill(ask(ASKED["holes"]), cancel)
        assert isinstance(infill, Infill)
        return infill

    wanted, engine, cancel = asked(Engine(loaded)), Engine(loaded), CancelToken()
    list(engine.warm())
    running = engine.infill(ask(ASKED["a draft"]), cancel)
    next(running)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(running)
    for _ in range(2):
        infill = asked(engine)
        assert (infill.fills, infill.steps) == (wanted.fills, wanted.steps)
        assert infill.prefilled_tokens == 0, "the cancelled request had the same context"
    assert not caplog.records, "a capture failed"
