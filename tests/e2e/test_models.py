"""dgls/models: the models of this machine, and how fast the one ran that was used."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.e2e.test_engine import METHOD, SERVER
from tests.e2e.wire import Wire, completion, serving

URI = "file:///a.py"


async def embedded(wire: Wire) -> dict[str, Any]:
    answer = await wire.request("dgls/models", {})
    assert answer["chosen"] == "embedded"
    (row,) = [model for model in answer["models"] if model["name"] == "embedded"]
    return dict(row)


async def test_models_are_listed_with_their_speed_once_they_ran() -> None:
    async with serving(SERVER) as server:
        wire = server.wire
        await wire.initialize()
        await wire.status("ready")
        row = await embedded(wire)
        assert row["licence"] == "Apache-2.0"
        assert row["problem"] == ""
        assert row["parameters"] > 1e6 < row["bytes"]
        wire.open(URI, "def add(a, b):\n    total = \n    return total\n")
        await wire.request(METHOD, completion(URI, 1, 12, kind=1))
        while (await embedded(wire))["stepMs"] is None:  # another thread writes it
            await asyncio.sleep(0.05)
