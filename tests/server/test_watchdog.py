"""What keeps the loop is named in the log."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from dgls.server.watchdog import LONGEST_TURN, watched


async def dawdle() -> None:
    time.sleep(5 * LONGEST_TURN)


async def test_watched_loop_names_what_kept_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), watched(asyncio.get_running_loop(), lambda: True):
        await asyncio.sleep(0)
        await dawdle()
        await asyncio.sleep(2 * LONGEST_TURN)
    (record,) = caplog.records
    assert "dawdle" in record.getMessage()
    assert __file__ in record.getMessage()


async def test_watched_loop_that_waits_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), watched(asyncio.get_running_loop(), lambda: True):
        await asyncio.sleep(4 * LONGEST_TURN)
    assert not caplog.records


async def test_watched_loop_that_starts_or_ends_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), watched(asyncio.get_running_loop(), lambda: False):
        await asyncio.sleep(0)
        await dawdle()
        await asyncio.sleep(2 * LONGEST_TURN)
    assert not caplog.records
