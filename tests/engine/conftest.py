"""Open models for the engine's tests: random ones, flat (every token about as likely) and peaked (clear favourites)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dgls_engine.engine import Engine
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import chat_checkpoint, raw_checkpoint


@pytest.fixture(scope="session")
def flat(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Accepts one token a step and is never sure."""
    return load(raw_checkpoint(tmp_path_factory.mktemp("flat")), "cpu")


@pytest.fixture(scope="session")
def peaked(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Grows sure and settles: its head is sharp, and its layers change a token's embedding only a little."""
    loaded = load(raw_checkpoint(tmp_path_factory.mktemp("peaked"), sharpness=100.0), "cpu")
    with torch.no_grad():
        for layer in loaded.model.model.decoder.layers:
            layer.post_attention_layernorm.weight.mul_(0.3)
            layer.post_feedforward_layernorm.weight.mul_(0.3)
    return loaded


@pytest.fixture(params=["flat", "peaked"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    """Each of the two in turn."""
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


@pytest.fixture
def fresh(loaded: LoadedModel) -> Callable[[], Engine]:
    """Opens engines whose encoders are empty."""
    return lambda: Engine(loaded)


@pytest.fixture
def engine(fresh: Callable[[], Engine]) -> Engine:
    return fresh()


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_checkpoint(tmp_path_factory.mktemp("chat"), sharpness=100.0)


@pytest.fixture(scope="session")
def chat(chat_folder: Path) -> LoadedModel:
    """Shaped and prompted like the published model."""
    return load(chat_folder, "cpu")
