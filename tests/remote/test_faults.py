"""Slow, broken, overloaded and dying servers: what helps is tried, and the rest is said in one line."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace

import pytest

from dgls_engine import CancelToken
from dgls_engine.errors import Cancelled, EngineClosed, EngineError, ServerUnfit, ServerUnreachable
from dgls_engine.remote.address import Address
from dgls_engine.remote.engine import RemoteEngine
from tests.remote.conftest import HASTY, OpenRemote
from tests.remote.denoisers import Scripted
from tests.remote.fake_vllm import FakeVllm
from tests.remote.requests import request, run


@pytest.mark.parametrize("fault", ["drop", "half", "garbage", "short", "500", "503", "429 0.05", "502"])
def test_infill_after_one_wrong_answer_retries(scripted: FakeVllm, connect: OpenRemote, fault: str) -> None:
    engine = connect(scripted)
    scripted.faults.append(fault)
    assert run(engine, request())[1].texts[0].startswith("name")
    assert len(scripted.denoised) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("half", "answers that can't be used"),
        ("garbage", "an answer is no JSON"),
        ("deep", "an answer is no JSON"),
        ("endless", "an answer has no end"),
        ("short", "tokens where"),
        ("logits", "log-probabilities are none: .*--logprobs-mode"),
        ("500", "answers 500: busy"),
    ],
)
def test_infill_after_three_wrong_answers_raises(
    scripted: FakeVllm, connect: OpenRemote, fault: str, said: str
) -> None:
    engine = connect(scripted)
    scripted.faults.extend([fault] * 4)
    with pytest.raises(ServerUnreachable, match=said):
        run(engine, request())
    assert len(scripted.denoised) == 3


def test_infill_waits_for_retry_after(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine = connect(scripted)
    scripted.faults.append("429 0.4")
    began = time.monotonic()
    run(engine, request())
    assert time.monotonic() - began >= 0.4
    scripted.faults.append("429 3600")
    with pytest.raises(ServerUnreachable, match="left alone for 3600 s"):
        run(engine, request())


def test_infill_hanging_server_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine = connect(scripted)
    scripted.faults.append("hang")
    with pytest.raises(ServerUnreachable, match="within 300 ms"):
        run(engine, request(deadline_ms=300))
    assert engine.info.health == "not answering"
    assert run(engine, request())[1].finish == "stable"
    assert engine.info.health == ""


def test_infill_slow_server_repeats_no_handshake(scripted: FakeVllm, connect: OpenRemote) -> None:
    """It would have more to do the less it can."""
    engine = connect(scripted)
    scripted.faults.append("hang")
    with pytest.raises(ServerUnreachable):
        run(engine, request(deadline_ms=100))
    before = len(scripted.seen)
    run(engine, request())
    assert len(scripted.seen) == before + 1


def test_open_hanging_server_returns() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with RemoteEngine.open(address, "embedded", replace(HASTY, answer=60.0, absence=0.3)) as engine:
            assert time.monotonic() - began < 30
            assert engine.info.health == "not answering"


def test_infill_restarted_server_with_other_model_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine = connect(scripted)
    scripted.names = ("other/name",)
    with pytest.raises(ServerUnfit, match="does not exist"):
        run(engine, request())
    assert engine.info.health == "refusing"
    assert run(engine, request())[1].texts[0].startswith("name")
    assert engine.info.health == ""


def test_infill_rejected_request_raises_at_once(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine = connect(scripted)
    scripted.canvas_length = 8
    with pytest.raises(ServerUnfit, match="refuses the request: diffusion_canvas_length must be"):
        run(engine, request())
    assert len(scripted.denoised) == 1


def test_infill_server_restarted_during_request_recovers(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine, model = connect(scripted), scripted.denoiser
    assert isinstance(model, Scripted)
    model.seconds = 0.5

    def kill() -> None:
        while not model.running:
            time.sleep(0.01)
        scripted.stop()
        time.sleep(0.3)
        model.seconds = 0.0
        scripted.start()

    killer = threading.Thread(target=kill)
    killer.start()
    assert run(engine, request())[1].texts[0].startswith("name")
    killer.join()
    assert len(scripted.denoised) == 2


def test_infill_dead_server_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine = connect(scripted)
    scripted.stop()
    with pytest.raises(ServerUnreachable, match=r"can't be reached .*; try again later"):
        run(engine, request())


def test_infill_deadline_between_tries_ends_request(scripted: FakeVllm, connect: OpenRemote) -> None:
    """What was tried is told: that nothing came in time says little of a server that is down."""
    engine = connect(scripted)
    scripted.stop()
    with pytest.raises(ServerUnreachable, match=r"can't be reached \(.*\); it gave nothing back within 100 ms"):
        run(engine, request(deadline_ms=100))
    scripted.start()
    run(engine, request())
    scripted.faults.append("hang")
    with pytest.raises(ServerUnreachable, match=rf"^the server at \S+:{scripted.port} gave nothing back"):
        run(engine, request(deadline_ms=100))


def test_cancel_closes_stream_and_ends_server_work(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine, model, cancel = connect(scripted), scripted.denoiser, CancelToken()
    assert isinstance(model, Scripted)
    model.seconds = 60.0
    threading.Timer(0.1, cancel.cancel).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run(engine, request(), cancel)
    while not model.stopped:
        assert time.monotonic() - began < 30
        time.sleep(0.01)
    assert scripted.denoised[-1].aborted


def test_cancel_while_waiting_for_server_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine, cancel = connect(scripted), CancelToken()
    scripted.stop()
    threading.Timer(0.1, cancel.cancel).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run(engine, request(), cancel)
    assert time.monotonic() - began < 2 < HASTY.absence


def test_infill_closed_engine_or_invalid_request_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine = connect(scripted)
    with pytest.raises(EngineError, match="at least 1 step"):
        run(engine, request(max_steps=0))
    engine.close()
    engine.close()
    assert engine.count("name") > 0
    with pytest.raises(EngineClosed):
        run(engine, request())
