"""The server with the real engine on small checkpoints: the settings choose one, it loads and answers."""

from __future__ import annotations

import math
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from dgls_engine.weights.hub import embedded_folder
from tests.e2e.acting import RESOLVE, capable, heard, listing, place, shown, titled
from tests.e2e.wire import Wire, completion, serving
from tests.engine.checkpoints import raw_checkpoint, speak_ascii

METHOD = "textDocument/inlineCompletion"
URI = "file:///a.py"
SERVER = [sys.executable, "-P", "-m", "dgls", "serve", "--stdio"]


def last_status(wire: Wire) -> Any:
    return [message["params"] for message in wire.heard if message["method"] == "dgls/status"][-1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speak_ascii(raw_checkpoint(tmp_path_factory.mktemp("checkpoint"), sharpness=60.0))


async def test_serve_on_a_random_checkpoint_answers(checkpoint: Path) -> None:
    async with serving(SERVER) as server:
        wire = server.wire
        wire.settings = {"model": str(checkpoint), "device": "cpu", "threads": 1}
        await wire.initialize()
        wire.open(URI, "def add(a, b):\n    return \n")
        result = await wire.request(METHOD, completion(URI, 1, 11, kind=1))  # waits for the model
        assert all(item["insertText"].strip() for item in result["items"])
        await wire.status("ready")
        assert last_status(wire)["device"] == "cpu"
        assert [state for state, _ in groupby(wire.statuses())] == ["loading", "working", "ready"]
        told = [m["params"]["percent"] for m in wire.heard if m["method"] == "dgls/status"]
        loaded = [percent for percent in told if percent is not None]
        assert loaded
        assert loaded == sorted(set(loaded))
        told = [message["params"]["type"] for message in wire.heard if message["method"] == "window/showMessage"]
        assert set(told) <= {3}, "only that the model's text was dropped"
        assert await wire.request("shutdown") is None
        wire.notify("exit")
        assert await server.exit_code(5) == 0
        assert b"Traceback" not in server.stderr


async def test_serve_on_the_embedded_model_answers() -> None:
    async with serving(SERVER) as server:
        wire = server.wire
        wire.settings = {"threads": 1, "inlineCompletion": {"candidates": 1, "deadlineMs": 20_000}}
        await wire.initialize()
        await wire.status("ready")
        wire.open(URI, "import os\n\nfor name in os.listdir(path):\n    print()\n")
        result = await wire.request(METHOD, completion(URI, 3, 10, kind=1))
        assert last_status(wire)["message"] == ""
        (item,) = result["items"]
        assert item["range"]["start"] == item["range"]["end"] == {"line": 3, "character": 10}


async def test_serve_with_int4_experts_answers() -> None:
    async with serving(SERVER) as server:
        wire = server.wire
        completing = {"candidates": 1, "deadlineMs": 20_000}
        wire.settings = {"threads": 1, "device": "cpu", "dtype": "int4", "inlineCompletion": completing}
        await wire.initialize()
        await wire.status("ready")
        wire.open(URI, "import os\n\nfor name in os.listdir(path):\n    print()\n")
        (item,) = (await wire.request(METHOD, completion(URI, 3, 10, kind=1)))["items"]
        assert item["range"]["start"] == item["range"]["end"] == {"line": 3, "character": 10}
        await wire.status("ready")
        assert last_status(wire)["device"] == "cpu"
        assert last_status(wire)["message"] == ""
        assert last_status(wire)["memory"] == packed_size(embedded_folder() / "model.safetensors")
        assert heard(wire, "window/showMessage") == []
        assert b"Traceback" not in server.stderr


def packed_size(file: Path) -> int:
    """Bytes of a small model's weights on a CPU. Experts take half a byte a value, and two for the scale of every 64
    of a row; all other weights take four bytes a value."""
    size = 0
    with safe_open(file, framework="np") as stream:
        for name in stream.keys():  # noqa: SIM118 (it is no dict)
            *outer, columns = stream.get_slice(name).get_shape()
            groups = math.ceil(columns / 64)
            size += math.prod(outer) * (groups * (32 + 2) if ".experts." in name else 4 * columns)
    return size


STUBS = '''def total(values):
    """The sum of all values."""
    pass


def names(path):
    raise NotImplementedError


result = total(valeus)
'''


async def test_actions_on_the_embedded_model_change_only_the_requested_place() -> None:
    """The test checks where the model writes and that its drafts can be shown, not what it writes."""
    painting = capable(experimental={"dgls": {"draft": True}}, workspace={"configuration": True})
    chosen = {
        "Fill here": ("pass", {2}),
        "Fill all holes in this file": ("pass", {2, 6}),
        "Refine selection heavily": ("result = total(valeus)", {9}),
    }
    async with serving(SERVER) as server:
        wire = server.wire
        wire.settings = {"threads": 1}
        await wire.initialize(painting)
        wire.open(URI, STUBS)
        for title, (part, lines) in chosen.items():
            action = await titled(wire, listing(URI, place(STUBS, part)), title)
            resolved = await wire.request(RESOLVE, action)
            if "edit" not in resolved:
                assert "leave this as it is" in shown(wire)[-1]
                continue
            (change,) = resolved["edit"]["documentChanges"]
            for each in change["edits"]:
                assert each["range"]["start"]["line"] in lines
                assert each["range"]["end"]["line"] in lines
            *drafts, last = [
                draft for draft in heard(wire, "dgls/draft") if draft["request"] == action["data"]["request"]
            ]
            assert last["done"]
            assert drafts
            for hole in (hole for draft in drafts for hole in draft["holes"]):
                assert hole["range"]["start"]["line"] in lines
                assert "".join(token["text"] for token in hole["tokens"]) == hole["text"]
                assert all(0 < token["certainty"] <= 1 for token in hole["tokens"])
        assert all("does not parse" in message or "as it is" in message for message in shown(wire))
        assert b"Traceback" not in server.stderr


async def test_serve_with_a_missing_model_fails_with_advice(tmp_path: Path) -> None:
    async with serving(SERVER) as server:
        server.wire.settings = {"model": str(tmp_path / "nothing here")}
        await server.wire.initialize()
        await server.wire.status("failed")
        assert "nothing here" in last_status(server.wire)["message"]
        await server.wire.request("shutdown")


async def test_exit_during_the_import_of_torch_is_quick() -> None:
    async with serving(SERVER) as server:
        await server.wire.initialize()
        await server.wire.status("loading")
        await server.wire.request("shutdown")
        server.wire.notify("exit")
        assert await server.exit_code(3) == 0
