"""The table in docs/remote.md, line by line: each law is tried on a server with vLLM 0.33's traits, and what comes of
it has to be what the table says."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dgls_engine import CancelToken, Context, Engine, Hole, InfillRequest, Limits, Pinned
from dgls_engine.errors import Cancelled, ServerUnreachable
from dgls_engine.text.opened import Opened
from dgls_engine.weights.loader import LoadedModel
from tests.remote.conftest import OpenRemote
from tests.remote.denoisers import Modelled, Scripted
from tests.remote.fake_vllm import FakeVllm
from tests.remote.requests import request, run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "remote.md").read_text(encoding="utf-8")
TABLE = dict(re.findall(r"^\| (\d) [^|]*\| ([^|]+?) \|", PAGE, re.MULTILINE))

Serve = Callable[[LoadedModel], FakeVllm]


def test_table_of_laws_has_all_laws() -> None:
    assert sorted(TABLE) == list("12345678")
    assert set(TABLE.values()) <= {"holds", "in part", "can't"}


def test_law_1_on_server_keeps_pinned_tokens_as_table_says(
    serve: Serve, connect: OpenRemote, flat: LoadedModel
) -> None:
    server = serve(flat)
    segments = [
        Pinned("def read(path):"),
        Hole(max_tokens=4),
        Pinned("\n    return "),
        Hole(max_tokens=3),
        Pinned("\n"),
    ]
    run(connect(server, flat.folder), InfillRequest(Context(), segments, Limits(max_steps=4)))
    *_, last = server.denoised
    sent, pins = (last.body["vllm_xargs"][f"diffusion_{name}"] for name in ("seed_canvas", "pinned"))
    ended = server.denoiser.denoise(last.body["prompt"], sent, pins, 1, lambda: False)
    assert ended is not None
    assert any(ended.ids[place] != sent[place] for place in pins), "the raw argmax shows other tokens at pins"
    between = flat.tokenizer.encode("\n    return ")
    assert any(sent[at : at + len(between) - 1] == between[:-1] for at in range(len(sent)))
    assert TABLE["1"] == "holds"


def test_law_2_on_server_same_seed_as_table_says(serve: Serve, connect: OpenRemote, flat: LoadedModel) -> None:
    engine = connect(serve(flat), flat.folder)
    texts = {run(engine, request(seed=3, max_steps=4))[1].texts for _ in range(3)}
    assert TABLE["2"] == ("holds" if len(texts) == 1 else "can't")


def test_law_3_on_server_equals_local_engine_as_table_says(
    serve: Serve, connect: OpenRemote, flat: LoadedModel
) -> None:
    """The local engine gives what `generate` gives (tests/engine/test_laws.py), so that may stand for it."""
    asked = InfillRequest(Context(above="import path\n"), [Opened(min_tokens=12, max_tokens=12, healed=False)], seed=1)
    *_, local = Engine(flat).infill(asked)
    _, remote = run(connect(serve(flat), flat.folder), asked)
    assert TABLE["3"] == ("holds" if remote.texts == local.texts else "can't")  # type: ignore[union-attr]


def test_law_4_on_server_cancel_as_table_says(
    serve: Serve, connect: OpenRemote, flat: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(flat)
    engine, model = connect(server, flat.folder), server.denoiser
    assert isinstance(model, Modelled)
    _, before = run(engine, request(max_steps=3))
    cancel, at = CancelToken(), []
    stepped = model.stepped

    def slow_step() -> None:
        stepped()
        if len(at) == 0 and model.steps >= 5:
            at.append(model.steps)
            cancel.cancel()
        time.sleep(0.05)

    monkeypatch.setattr(model, "stepped", slow_step)
    with pytest.raises(Cancelled):
        run(engine, request(), cancel)
    settled = server.denoised[-1]
    _until(lambda: settled.aborted)
    time.sleep(0.15)
    assert model.steps <= at[0] + 1, "the step that ran, and the one in which the connection closed"
    assert run(engine, request(max_steps=3))[1].prompt_tokens == before.prompt_tokens
    assert TABLE["4"] == "holds"


def test_law_5_on_server_stop_reads_more_than_holes_as_table_says(
    serve: Serve, connect: OpenRemote, embedded: LoadedModel
) -> None:
    """A canvas is given up as settled while its hole, by itself, is not."""
    server = serve(embedded)
    model = server.denoiser
    assert isinstance(model, Modelled)
    engine = connect(server)
    bound = embedded.profile.confidence_threshold
    early = []
    for seed in range(4):
        run(engine, request(before="import os\n\n\ndef read(path, mode):\n    with open(pa", seed=seed))
        early.append(model.mean_at_end < bound < model.hole_mean_at_end)
    assert TABLE["5"] == ("can't" if any(early) else "holds")


def test_law_6_on_server_prefill_as_table_says(serve: Serve, connect: OpenRemote, flat: LoadedModel) -> None:
    server = serve(flat)
    engine = connect(server, flat.folder)
    run(engine, request("def read(path):\n    return ", max_steps=1))
    _, typed = run(engine, request("def read(path):\n    key = 1\n    return ", max_steps=1))
    one, *_, other = (seen.body["prompt"] for seen in server.denoised)
    assert one == other
    assert TABLE["6"] == ("can't" if typed.prefilled_tokens == typed.prompt_tokens else "holds")


def test_law_7_on_server_deadline_as_table_says(scripted: FakeVllm, connect: OpenRemote) -> None:
    engine, model = connect(scripted), scripted.denoiser
    assert isinstance(model, Scripted)
    model.seconds = 60.0
    began = time.monotonic()
    with pytest.raises(ServerUnreachable, match="within 200 ms"):
        run(engine, request(deadline_ms=200))
    assert time.monotonic() - began < 30
    model.seconds = 1.0
    steps, looked = run(engine, request("def read(path):\n    return na", deadline_ms=1700))
    assert looked.finish == "deadline"
    assert looked.texts == (steps[-1].fills[0].text,)
    assert TABLE["7"] == "in part"


@pytest.mark.parametrize("typed", ["pri", "fi", "é", "self.na", "    ", "'\N{SNOWMAN}"])
def test_law_8_on_server_bytes_as_table_says(serve: Serve, connect: OpenRemote, flat: LoadedModel, typed: str) -> None:
    server = serve(flat)
    engine = connect(server, flat.folder)
    _, infill = run(engine, request(f"def read(path):\n{typed}", max_steps=3))
    extra = server.denoised[-1].body["vllm_xargs"]
    ids, pinned = extra["diffusion_seed_canvas"], set(extra["diffusion_pinned"])
    first = next(at for at in range(len(ids)) if at not in pinned)
    held = b"".join(map(flat.tokenizer.token_bytes, ids[:first]))
    assert held.startswith(f"def read(path):\n{typed}".encode()), "the hole begins with what was typed"
    shown = f"def read(path):\n{typed}{infill.texts[0]}".encode()
    assert "\ufffd" in infill.texts[0] or shown.startswith(held) or held.startswith(shown)
    assert TABLE["8"] == "holds"


def _until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        threading.Event().wait(0.005)
