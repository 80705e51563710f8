"""Two real servers share one scripted engine: what their clients see."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_inline_completion import INVOKED, METHOD, URI, Journal, ready, texts
from tests.e2e.wire import Wire, completion

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="untested on Windows")


def last_status(wire: Wire) -> Any:
    return [message["params"] for message in wire.heard if message["method"] == "dgls/status"][-1]


def opened(journal: Journal) -> int:
    return len(journal.entries("open"))


async def test_second_window_uses_the_first_ones_model_and_takes_over(tmp_path: Path) -> None:
    script = {"shared": str(tmp_path), "texts": ["1"], "journal": str(tmp_path / "journal"), "steps": 40, "step_ms": 10}
    tmp_path.chmod(0o700)
    async with ready(tmp_path, **script) as (second, journal):
        # The second window is the one that stays, so it is opened around the first: it gives the model up here.
        assert last_status(second)["holder"] == ""
        async with ready(tmp_path, **script) as (first, _):
            assert "process" in last_status(first)["holder"]
            first.open(URI, "x = \n")
            assert texts(await first.request(METHOD, completion(URI, 0, 4, INVOKED))) == ["1"]
            assert opened(journal) == 1

            asked = first.ask(METHOD, completion(URI, 0, 4, INVOKED))
            await journal.wait("infill", len(journal.entries("infill")) + 1)
            await second.request("shutdown")
            second.notify("exit")
            assert texts((await first.reply(asked))["result"]) == ["1"], "its request is sent again"
            assert opened(journal) == 2
            async with asyncio.timeout(5):
                while last_status(first)["holder"] != "":
                    await asyncio.sleep(0.01)


async def test_request_that_is_replaced_is_cancelled_in_the_other_window(tmp_path: Path) -> None:
    script = {"shared": str(tmp_path), "journal": str(tmp_path / "journal"), "steps": 1000, "step_ms": 5}
    tmp_path.chmod(0o700)
    async with ready(tmp_path, **script) as (_, journal), ready(tmp_path, **script) as (guest, _):
        guest.open(URI, "x = \n")
        asked = guest.ask(METHOD, completion(URI, 0, 4, INVOKED))
        await journal.wait("infill")
        guest.notify("$/cancelRequest", {"id": asked})
        await journal.wait("cancelled")
        assert (await guest.reply(asked))["error"]["code"] == -32800
