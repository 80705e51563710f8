"""Real processes share one scripted model: who loads it, who answers, what happens when its holder ends or hangs."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.sharing.windows import WAIT, Folder, Window, windows

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the test's engine knows POSIX locks only")


async def test_three_windows_share_one_copy_and_outlive_its_holder(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {"steps": 3, "step_ms": 20})
    async with windows(folder, 3) as (first, second, third):
        states = [await window.state() for window in (first, second, third)]
        assert [bool(state["holder"]) for state in states] == [False, True, True]
        assert f"process {first.pid}" in states[1]["holder"]
        assert folder.loads == 1

        in_flight = [window.send() for window in (second, third)]
        await asyncio.sleep(0.03)
        await first.kill()
        texts = {(await answer)["text"].split(" by ")[1] for answer in in_flight}
        assert len(texts) == 1
        assert texts <= {str(second.pid), str(third.pid)}
        assert folder.loads == 2

        holder, guest = (second, third) if texts == {str(second.pid)} else (third, second)
        asked = guest.send()
        await holder.end()
        assert (await asked)["text"].endswith(f" by {guest.pid}"), "its request is retried when the holder ends"
    assert folder.second_copies == 0


async def test_hung_holder_is_not_waited_for_and_not_replaced(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {"silence": 0.4})
    async with windows(folder, 2) as (holder, guest):
        holder.signal(signal.SIGSTOP)
        answer = await guest.ask()
        assert answer["error"] == "HolderSilent"
        assert str(holder.pid) in answer["message"]
        assert (await guest.state())["health"] == "not answering"
        late = await Window.start(folder.path)
        try:
            assert (await late.ask())["error"] == "HolderSilent"
            assert folder.loads == 1
            holder.signal(signal.SIGCONT)
            for window in (guest, late):
                while "error" in (answer := await window.ask()):
                    await asyncio.sleep(0.05)
                assert answer["text"].endswith(f" by {holder.pid}")
                assert (await window.state())["health"] == ""
        finally:
            await late.kill()


async def test_foreign_process_on_the_socket_answers_nobody(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {"silence": 30.0})
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder.socket))  # nobody listens
    async with windows(folder, 1) as (holder,):
        folder.socket.unlink()
        called = asyncio.Event()

        def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\x7f\xff\xff\xff{}" if called.is_set() else b"\0\0\0\x02{}")
            writer.close()
            called.set()

        holder.signal(signal.SIGSTOP)  # otherwise it takes its place back before the guest comes
        async with await asyncio.start_unix_server(answer, folder.socket):
            guest = await Window.start(folder.path)
            try:
                asked = guest.send()
                await asyncio.wait_for(called.wait(), WAIT)
                assert not asked.done()
                holder.signal(signal.SIGCONT)
                assert (await asked)["text"].endswith(f" by {holder.pid}"), "the holder took its place back"
            finally:
                await guest.kill()
    assert folder.loads == 1


async def test_kills_at_any_moment_lose_no_request_of_the_others(tmp_path: Path) -> None:
    """While a window loads, waits, asks or answers."""
    chance, folder = random.Random(7), Folder(tmp_path, {"steps": 2, "step_ms": 3, "load_ms": 60})
    opened = [await Window.start(folder.path) for _ in range(3)]
    try:
        for _ in range(5):
            asked = [(window, window.send()) for window in opened for _ in range(3)]
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            victim = chance.choice(opened)
            await victim.kill()
            answers = [await asyncio.wait_for(answer, 20) for window, answer in asked if window is not victim]
            assert all("text" in answer for answer in answers), answers
            opened[opened.index(victim)] = await Window.start(folder.path)
    finally:
        for window in opened:
            await window.kill()
    assert folder.second_copies == 0
