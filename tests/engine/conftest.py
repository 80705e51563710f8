"""Open models for the engine's tests: random ones, flat (every token about as likely) and peaked (clear favourites)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.engine import Engine
from engine.loader import LoadedModel, load
from tests.engine.checkpoints import chat_checkpoint, raw_checkpoint

SHARPNESS = {"flat": 1.0, "peaked": 100.0}


@pytest.fixture(scope="session")
def raw_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    """`raw` models by name."""
    return {
        name: load(raw_checkpoint(tmp_path_factory.mktemp(name), sharpness=sharpness), "cpu")
        for name, sharpness in SHARPNESS.items()
    }


@pytest.fixture(scope="session", params=SHARPNESS)
def loaded(request: pytest.FixtureRequest, raw_models: dict[str, LoadedModel]) -> LoadedModel:
    """Each `raw` model in turn."""
    return raw_models[request.param]


@pytest.fixture
def engine(loaded: LoadedModel) -> Engine:
    """A fresh engine, its encoder empty."""
    return Engine(loaded)


@pytest.fixture
def fresh(loaded: LoadedModel) -> Callable[[], Engine]:
    return lambda: Engine(loaded)


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_checkpoint(tmp_path_factory.mktemp("chat"), sharpness=100.0)


@pytest.fixture(scope="session")
def chat_model(chat_folder: Path) -> LoadedModel:
    return load(chat_folder, "cpu")
