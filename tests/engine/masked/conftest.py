"""Masked models with random weights, Llama and Qwen2, with and without an adapter, and every pass of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from dgls_engine import Engine
from dgls_engine.model.masked.passes import MaskedPasses
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import masked_checkpoint

KINDS = [("llama", 4), ("llama", 0), ("qwen2", 4), ("qwen2", 0)]


@pytest.fixture(scope="module", params=KINDS, ids=[f"{kind}, rank {rank}" for kind, rank in KINDS])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    kind, rank = request.param
    # Sharp enough that some tokens are decided together, and not all of them.
    sharpness = 40.0 if rank else 12.0
    return load(masked_checkpoint(tmp_path_factory.mktemp(kind), kind, rank=rank, sharpness=sharpness), "cpu")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """One of them, for what does not depend on the layers."""
    return load(masked_checkpoint(tmp_path_factory.mktemp("one"), sharpness=40.0), "cpu")


@pytest.fixture
def fresh(loaded: LoadedModel) -> Callable[[], Engine]:
    return lambda: Engine(loaded)


@pytest.fixture
def engine(fresh: Callable[[], Engine]) -> Engine:
    return fresh()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The canvas of every pass, as it went in."""
    seen: list[Tensor] = []
    original = MaskedPasses.run

    def run(self: MaskedPasses, ids: Tensor, *rest: Any) -> Tensor:
        seen.append(ids[0].clone())
        return original(self, ids, *rest)

    monkeypatch.setattr(MaskedPasses, "run", run)
    return seen
