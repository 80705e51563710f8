"""What a folder must hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from dgls_engine import Engine
from dgls_engine.errors import UnsupportedModel
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import masked_checkpoint


def test_load_unknown_mask_token_raises(tmp_path: Path) -> None:
    folder = masked_checkpoint(tmp_path)
    loaded = load(folder, "cpu").with_profile({"mask_token": "<|hole|>"})
    with pytest.raises(UnsupportedModel, match=r"mask_token in .* is '<\|hole\|>'"):
        Engine(loaded)


def test_load_adapter_without_its_other_half_raises(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = masked_checkpoint(tmp_path)
    adapter = load_file(folder / "adapter.safetensors")
    del adapter["model.layers.1.mlp.up_proj.lora_B.weight"]
    save_file(adapter, folder / "adapter.safetensors")
    with pytest.raises(Exception, match=r"model.layers.1.mlp.up_proj"):
        load(folder, "cpu")


def test_size_counts_every_value(loaded: LoadedModel) -> None:
    files = loaded.folder.glob("*.safetensors")
    assert loaded.info.parameters == sum(tensor.numel() for file in files for tensor in load_file(file).values())
