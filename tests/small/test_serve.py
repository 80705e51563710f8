"""The server as an editor starts it for the first time, with the small model in the cache."""

from __future__ import annotations

import sys

import pytest

from tests.e2e.acting import heard, shown
from tests.e2e.wire import completion, serving

pytestmark = pytest.mark.small


async def test_serve_by_default_suggests_with_the_small_model() -> None:
    async with serving([sys.executable, "-P", "-m", "dgls", "serve", "--stdio"]) as server:
        wire = server.wire
        wire.settings = {"model": "auto", "threads": 1, "inlineCompletion": {"candidates": 1, "deadlineMs": 20_000}}
        await wire.initialize()
        await wire.status("ready")
        wire.open("file:///a.py", "def add(a, b):\n    return \n\n\nprint(add(1, 2))\n")
        result = await wire.request("textDocument/inlineCompletion", completion("file:///a.py", 1, 11, kind=1))
        assert [item["insertText"] for item in result["items"]] == ["a + b"]
        assert heard(wire, "dgls/status")[-1]["model"] == "small"
        assert shown(wire) == []
