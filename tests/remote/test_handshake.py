"""Servers that can't do what is needed are refused in words; those that are away are waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dgls.server.lsp_server import open_engine
from dgls.server.settings import EngineSettings, Settings
from dgls_engine.errors import ServerUnfit, ServerUnreachable
from dgls_engine.remote.address import Address
from dgls_engine.remote.engine import RemoteEngine
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.weights.loader import LoadedModel
from tests.remote.conftest import HASTY, OpenRemote
from tests.remote.fake_chat import FakeChat
from tests.remote.fake_vllm import FakeVllm
from tests.remote.requests import request, run

WAY_OUT = 'set dgls.engine.kind to "chat"'


def test_info_of_remote_engine_names_server(scripted: FakeVllm, connect: OpenRemote) -> None:
    info = connect(scripted).info
    assert info.device == f"vLLM at 127.0.0.1:{scripted.port}"
    assert (info.device_name, info.weight_bytes, info.on_gpu) == ("vLLM 0.33.0", 0, False)


def test_open_server_without_pins_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    scripted.pins, scripted.version = False, "0.31.2"
    with pytest.raises(ServerUnfit, match=r"\(vLLM 0\.31\.2\) can't pin: .* needs vLLM 0\.33 or later") as raised:
        connect(scripted)
    assert WAY_OUT in str(raised.value)
    assert scripted.denoised == []


def test_open_chat_server_as_pinning_raises(chatting: FakeChat) -> None:
    with pytest.raises(ServerUnfit, match=r"refuses what vLLM 0\.33 would take \(Not Found\)") as raised:
        RemoteEngine.open(Address(chatting.url), "embedded", HASTY)
    assert WAY_OUT in str(raised.value)
    assert chatting.asked == []


def test_infill_server_swapped_for_one_without_pins_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    """Behind one address an older one may answer for a while."""
    engine = connect(scripted)
    scripted.faults.append("unpinned")
    with pytest.raises(ServerUnfit, match="can't pin"):
        run(engine, request("import os\n" * 10 + "value = "))


def test_open_server_with_narrow_canvas_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    scripted.canvas_length = 64
    with pytest.raises(ServerUnfit, match="fewer than the 96 tokens"):
        connect(scripted)


def test_open_server_with_other_vocabulary_raises(
    serve: Callable[[LoadedModel], FakeVllm], flat: LoadedModel, chat: LoadedModel, connect: OpenRemote
) -> None:
    server = serve(chat)
    server.canvas_length = 256
    with pytest.raises(ServerUnfit, match=r"another vocabulary than dgls\.model"):
        connect(server, flat.folder)


def test_open_picks_served_model_or_raises(scripted: FakeVllm, connect: OpenRemote) -> None:
    scripted.names = ("one", "two")
    with pytest.raises(ServerUnfit, match=r"2 models \(one, two\): name one in dgls\.engine\.servedModel"):
        connect(scripted)
    with pytest.raises(ServerUnfit, match="no model 'three', but: one, two"):
        connect(scripted, served_model="three")
    scripted.names = ("",)
    with pytest.raises(ServerUnfit, match="serves 0 models"):
        connect(scripted)
    scripted.names = ("one", "two")
    run(connect(scripted, served_model="two"), request())
    assert {seen.body["model"] for seen in scripted.denoised} == {"two"}


def test_open_limits_prompts_to_server_length(scripted: FakeVllm, connect: OpenRemote) -> None:
    scripted.max_model_len = 96 + 50
    assert connect(scripted).info.profile.max_prompt_tokens == 50
    scripted.max_model_len = 96
    with pytest.raises(ServerUnfit, match="larger --max-model-len"):
        connect(scripted)


def test_open_engine_with_url_opens_remote(scripted: FakeVllm, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.keys = {"right"}
    monkeypatch.setenv("TEAM_KEY", "right")
    settings = Settings(engine=EngineSettings(f"{scripted.url}/v1", api_key_variable="TEAM_KEY"))
    engine = open_engine(settings, lambda done, total: None)
    assert engine.info.device == f"vLLM at 127.0.0.1:{scripted.port}"
    assert not list(engine.warm())
    engine.close()


def test_open_without_weights_succeeds(scripted: FakeVllm, connect: OpenRemote, tmp_path: Path) -> None:
    for path in embedded_folder().glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert run(connect(scripted, tmp_path), request())[1].texts[0].startswith("name")


def test_open_absent_server_reports_health(scripted: FakeVllm, connect: OpenRemote) -> None:
    scripted.stop()
    engine = connect(scripted)
    assert engine.info.health == "not answering"
    with pytest.raises(ServerUnreachable, match="not answer in time"):
        run(engine, request(deadline_ms=300))
    scripted.start()
    assert run(engine, request())[1].texts[0].startswith("name")
    assert engine.info == replace(engine.info, device=f"vLLM at 127.0.0.1:{scripted.port}", health="")
