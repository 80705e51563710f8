"""`random_model` makes models of a given shape in each precision; a seed gives the same weights again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import DiffusionGemmaForBlockDiffusion

from dgls_engine.model.diffusion_gemma import experts
from dgls_engine.weights import streaming as filling
from dgls_engine.weights.precision import PRECISIONS
from dgls_engine.weights.random_weights import random_model
from tests.engine.checkpoints import raw_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder: Path = raw_checkpoint(tmp_path_factory.mktemp("shape"))
    content: dict[str, object] = json.loads((folder / "config.json").read_text())
    return content


@torch.no_grad()
def logits(model: DiffusionGemmaForBlockDiffusion) -> Tensor:
    prompt, canvas = torch.arange(5, 45)[None], torch.arange(60, 108)[None]
    result: Tensor = model(input_ids=prompt, decoder_input_ids=canvas).logits
    return result.float()


@pytest.mark.parametrize("dtype", [name for name in PRECISIONS if name != "int8"])
def test_random_model_same_seed_same_logits(config: dict[str, object], dtype: str) -> None:
    first, second, other = (logits(random_model(config, CPU, dtype, seed)) for seed in (7, 7, 8))
    assert torch.isfinite(first).all()
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("dtype", ["fp8", "int4"])
def test_random_model_sliced_packing_has_same_shapes(
    config: dict[str, object], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One expert at a time and all together give tensors of the same shape."""
    whole = random_model(config, CPU, dtype)
    monkeypatch.setattr(filling, "SLICE_VALUES", 1)
    sliced = random_model(config, CPU, dtype)
    for one, other in zip(whole.model.decoder.layers, sliced.model.decoder.layers, strict=True):
        theirs, ours = experts.installed(one.experts), experts.installed(other.experts)
        assert theirs is not None
        assert ours is not None
        for packed, too in zip(theirs, ours, strict=True):
            assert packed.values.shape == too.values.shape
            assert packed.scales.shape == too.scales.shape
            assert too.packing == dtype
    assert experts.installed(sliced.model.encoder.language_model.layers[0].experts) is not None
