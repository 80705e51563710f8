"""Which models the windows share: two workers of this process stand for two windows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dgls.server.settings import EngineSettings, Settings
from dgls.server.sharing import between_windows
from dgls_engine.sharing import identity
from dgls_engine.types import CancelToken
from dgls_engine.worker import Worker
from tests.engine.test_worker import WAIT, ScriptedEngine, request
from tests.engine.test_worker_life import ON_GPU

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="untested on Windows")


@contextmanager
def two_windows(first: Settings, second: Settings) -> Iterator[list[ScriptedEngine]]:
    """Each has answered a request. Yields the engines that they loaded."""
    loaded: list[ScriptedEngine] = []

    def load(loading: object) -> ScriptedEngine:
        engine = ScriptedEngine()
        engine.info = ON_GPU
        engine.go.set()
        loaded.append(engine)
        return engine

    def worker_of(settings: Settings) -> Worker:
        return Worker(lambda worker: between_windows(settings, load, lambda done, total: None, worker))

    workers = [worker_of(first), worker_of(second)]
    try:
        for worker in workers:
            assert worker.submit(request("a"), CancelToken(), key="a").result(WAIT).texts == ("a",)
        yield loaded
    finally:
        for worker in reversed(workers):
            assert worker.close(WAIT)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is too large for two copies, and sockets are in a folder of the test."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(identity, "_SMALL", 0)


def test_between_windows_small_model_is_loaded_by_each() -> None:
    with two_windows(Settings(), Settings()) as loaded:
        assert len(loaded) == 2


@pytest.mark.usefixtures("large")
def test_between_windows_large_model_is_loaded_once() -> None:
    with two_windows(Settings(), Settings()) as loaded:
        assert len(loaded) == 1
        assert loaded[0].served == ["a", "a"]


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("other", [Settings(dtype="int4"), Settings(device="cpu"), Settings(threads=3)])
def test_between_windows_other_settings_have_a_model_of_their_own(other: Settings) -> None:
    with two_windows(Settings(), other) as loaded:
        assert len(loaded) == 2


@pytest.mark.usefixtures("large")
def test_between_windows_team_server_is_not_shared() -> None:
    remote = Settings(engine=EngineSettings(url="https://gpu.example"))
    with two_windows(remote, remote) as loaded:
        assert len(loaded) == 2


@pytest.mark.usefixtures("large")
def test_between_windows_missing_model_raises_what_loading_raises() -> None:
    with two_windows(Settings(model="/no/such/folder"), Settings(model="/no/such/folder")) as loaded:
        assert len(loaded) == 2
