"""Two workers of this process share an engine as two windows do: what fails, what is unloaded, who is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dgls_engine.errors import Cancelled, NotEnoughMemory
from dgls_engine.sharing.identity import Identity
from dgls_engine.sharing.patience import Patience
from dgls_engine.sharing.sharing import Sharing
from dgls_engine.types import CancelToken, Context, Infill, InfillRequest, Loading, ScoreRequest, Step
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.worker import EngineLike, Worker
from tests.engine.test_worker import WAIT, ScriptedEngine, outcome, request
from tests.engine.test_worker_life import ON_GPU

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="untested on Windows")
HASTY = Patience(beat=0.05, silence=30.0, again=0.01)


class Window:
    """`engines` are those that this window loads, one after the other; an error fails the load."""

    def __init__(self, folder: Path, *engines: ScriptedEngine | Exception) -> None:
        self.engines, self.told = list(engines), list[tuple[int, int]]()
        sharing = Sharing(Identity("m", embedded_folder(), "digest", 2**40), lambda: folder, HASTY)
        self.worker = Worker(lambda worker: sharing.open(self._load, self._loading, worker))

    def ask(self, name: str) -> tuple[str, ...]:
        return self.worker.submit(request(name), CancelToken(), key=name).result(WAIT).texts

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.002)

    def _loading(self, done: int, total: int) -> None:
        self.told.append((done, total))

    def _load(self, loading: Loading) -> EngineLike:
        engine = self.engines.pop(0)
        loading(1, 2)
        if isinstance(engine, Exception):
            raise engine
        return engine


def scripted() -> ScriptedEngine:
    engine = ScriptedEngine()
    engine.info = ON_GPU
    engine.go.set()
    return engine


@contextmanager
def open_windows(folder: Path, *loads: list[ScriptedEngine | Exception]) -> Iterator[list[Window]]:
    folder.chmod(0o700)
    opened: list[Window] = []
    try:
        for engines in loads:
            opened.append(Window(folder, *engines))
            opened[-1].until(lambda: opened[-1].worker.state != "loading")
        yield opened
    finally:
        for window in reversed(opened):  # guests first: nobody takes over
            assert window.worker.close(WAIT)


def test_guest_knows_model_and_holder(tmp_path: Path) -> None:
    with open_windows(tmp_path, [scripted()], []) as (holder, guest):
        assert holder.worker.info is ON_GPU
        info = guest.worker.info
        assert info is not None
        assert "process" in info.holder
        assert replace(info, holder="") == ON_GPU
        assert guest.worker.count("import os") == 2, "with the model's own tokenizer, in this process"


def test_guest_gets_the_holders_scores(tmp_path: Path) -> None:
    asked = ScoreRequest(Context(), "a = ", ("b", "c"), "\n")
    with open_windows(tmp_path, [scripted()], []) as windows:
        own, others = (window.worker.score(asked, CancelToken(), "a").result(WAIT) for window in windows)
        assert list(own) == list(others)
        assert [score.tokens for score in own] == [("a = ", "b", "\n"), ("a = ", "c", "\n")]


def test_guest_gets_drafts_and_answer(tmp_path: Path) -> None:
    with open_windows(tmp_path, [scripted()], []) as (_, guest):
        steps: list[int] = []
        future = guest.worker.submit(request("a"), CancelToken(), "a", lambda step: steps.append(step.index))
        assert future.result(WAIT).steps == 3
        assert steps == sorted(set(steps)), "drafts that an answer overtakes are left out"


def test_guest_that_cancels_ends_the_holders_work(tmp_path: Path) -> None:
    engine = scripted()
    with open_windows(tmp_path, [engine], []) as (holder, guest):
        engine.go.clear()
        cancel = CancelToken()
        future = guest.worker.submit(request("a"), cancel, "a")
        assert engine.stepping.wait(WAIT)
        cancel.cancel()
        assert isinstance(outcome(future), Cancelled)
        engine.go.set()
        assert holder.ask("b") == ("b",)


def test_failed_load_fails_in_each_window_and_leaves_no_holder(tmp_path: Path) -> None:
    no_room = NotEnoughMemory("there is no room")
    with open_windows(tmp_path, [no_room, scripted()], [no_room]) as (first, second):
        for window in (first, second):
            assert window.worker.state == "failed"
            assert str(window.worker.error) == "there is no room"
        for window in (first, second):
            window.worker.retry()
            assert window.ask("a") == ("a",)
        assert second.engines == []


def test_guest_is_told_how_the_load_goes_and_why_it_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    class Slow(Window):
        def _load(self, loading: Loading) -> EngineLike:
            loading(1, 2)
            self.until(lambda: bool(guests) and bool(guests[0].told))
            raise NotEnoughMemory("there is no room")

    guests: list[Window] = []
    holder = Slow(tmp_path)
    holder.until(lambda: (tmp_path / "digest").exists())
    guests.append(Window(tmp_path))
    (guest,) = guests
    guest.until(lambda: guest.worker.state == "failed")
    assert guest.told == [(1, 2)]
    assert isinstance(guest.worker.error, NotEnoughMemory)
    for window in (guest, holder):
        assert window.worker.close(WAIT)


def test_error_of_a_guests_request_is_its_own(tmp_path: Path) -> None:
    class Full(ScriptedEngine):
        def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
            if request.context.path == "full":
                self.info = replace(ON_GPU, profile=replace(ON_GPU.profile, max_prompt_tokens=64))
                raise NotEnoughMemory("shorter from now on")
            return super().infill(request, cancel)

    engine = Full()
    engine.info = ON_GPU
    engine.go.set()
    with open_windows(tmp_path, [engine], []) as (_, guest):
        error = outcome(guest.worker.submit(request("full"), CancelToken(), "a"))
        assert isinstance(error, NotEnoughMemory)
        assert str(error) == "shorter from now on"
        assert guest.worker.info is not None
        assert guest.worker.info.profile.max_prompt_tokens == 64, "its next requests are planned for the new limit"
        error = outcome(guest.worker.submit(request("broken"), CancelToken(), "a"))
        assert (type(error), str(error)) == (RuntimeError, "a bug")
        assert guest.ask("b") == ("b",)


def test_model_is_unloaded_only_when_no_window_used_it(tmp_path: Path) -> None:
    with open_windows(tmp_path, [scripted(), scripted()], [scripted()]) as (holder, guest):
        guest.worker.unload_after(None)
        holder.worker.unload_after(0.3)
        for _ in range(10):
            time.sleep(0.05)
            guest.ask("a")
        assert holder.worker.state == "ready", "the guest used it"
        guest.until(lambda: holder.worker.state == "unloaded")
        guest.until(lambda: guest.worker.state == "unloaded")
        assert guest.ask("b") == ("b",), "the next request loads it, here"
        assert guest.engines == []
        assert holder.ask("c") == ("c",)
        assert len(holder.engines) == 1
        holder.worker.unload_after(None)


def test_window_that_closes_hands_the_model_on(tmp_path: Path) -> None:
    with open_windows(tmp_path, [scripted()], [scripted()]) as (holder, guest):
        assert holder.worker.close(WAIT)
        guest.until(lambda: guest.engines == [] and guest.worker.state == "ready")
        assert guest.worker.info is ON_GPU


def test_windows_take_turns(tmp_path: Path) -> None:
    engine = scripted()
    with open_windows(tmp_path, [engine], [], []) as (holder, *guests):
        engine.go.clear()
        futures = [holder.worker.submit(request(f"own {n}"), CancelToken(), n) for n in range(4)]
        assert engine.stepping.wait(WAIT)
        futures += [guest.worker.submit(request("guest"), CancelToken(), "key") for guest in guests]
        guests[0].until(lambda: len(holder.worker._queue._jobs) == 3)
        engine.go.set()
        for future in futures:
            future.result(WAIT)
        assert engine.served == ["own 0", "own 1", "guest", "guest", "own 2", "own 3"], "who is new comes last"
