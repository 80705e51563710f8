"""The published models with random weights, and every pass over their canvases."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from dgls_engine import Engine
from dgls_engine.model.masked.whole import WholePasses
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.published import KINDS, published_checkpoint


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(published_checkpoint(tmp_path_factory.mktemp(request.param), request.param, sharpness=4.0), "cpu")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """One of them, for what does not depend on the layers."""
    return load(published_checkpoint(tmp_path_factory.mktemp("one"), "dream-coder", sharpness=4.0), "cpu")


@pytest.fixture
def engine(loaded: LoadedModel) -> Engine:
    return Engine(loaded)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The canvases of every pass, as they went in."""
    seen: list[Tensor] = []
    original = WholePasses.run

    def noted(self: WholePasses, ids: Tensor, *rest: Any) -> Tensor:
        seen.append(ids.clone())
        return original(self, ids, *rest)

    monkeypatch.setattr(WholePasses, "run", noted)
    return seen
