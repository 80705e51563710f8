"""Published folders load as they are, run no code of their own, and say what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgls_engine import Engine
from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.model.masked.published import BLOCKWISE, CONVENTIONS
from dgls_engine.weights.loader import LoadedModel, load
from dgls_engine.weights.profiles import read_profile
from tests.engine.published import CONFIGS, KINDS, SHIFTED, published_checkpoint
from tests.engine.whole.slow import (
    kind_of,
)


def test_load_runs_no_code_of_the_checkpoint_and_needs_none(loaded: LoadedModel) -> None:
    """Each folder's `auto_map` names code, and the file with code would end the process."""
    assert "auto_map" in json.loads((loaded.folder / "config.json").read_text())
    assert (loaded.folder / "modeling_own.py").is_file()
    convention = next(each for each in CONVENTIONS if each.architecture == CONFIGS[kind_of(loaded)]["architectures"][0])
    assert loaded.model.config.shifted == convention.shifted == (kind_of(loaded) in SHIFTED)


def test_docs_table_says_what_the_code_does() -> None:
    page = (Path(__file__).parents[3] / "docs" / "families.md").read_text(encoding="utf-8")
    for each in CONVENTIONS:
        mask = str(each.mask).replace("|", "\\|")
        use = "yes" if each.commercial else "no" if "NC" in each.licence else "ask"
        cells = (each.name, f"`{each.architecture}`", f"`{mask}`", "i + 1" if each.shifted else "i")
        cells += (f"`{each.decoding}`", f"{each.context:,}", each.licence, use)
        assert f"| {' | '.join(cells)} |" in page
    for name in BLOCKWISE.values():
        assert name in page


@pytest.mark.parametrize("kind", KINDS)
def test_profile_follows_from_the_published_files_alone(tmp_path: Path, kind: str) -> None:
    folder = published_checkpoint(tmp_path, kind)
    (folder / "infill.json").unlink()
    profile = read_profile(folder)
    published = "dreamon" if kind == "dreamon" else CONFIGS[kind]["architectures"][0]
    convention = next(each for each in CONVENTIONS if published in (each.architecture, "dreamon" * each.grows))
    assert (profile.prompt_format, profile.decoding) == ("around", convention.decoding)
    assert profile.mask_token == CONFIGS[kind].get("mask_token_id", convention.mask)
    assert (profile.hole_policy, profile.enclosed) == (("grow", True) if kind == "dreamon" else ("batch", False))
    longest = profile.max_prompt_tokens + profile.canvas_tokens
    assert longest == min(convention.context, 1024), "the miniatures have 1,024 positions"
    assert profile.refresh_steps == 8


def edit(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change(folder: Path, **tensors: Tensor) -> None:
    save_file({**load_file(folder / "model.safetensors"), **tensors}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("kind", "damage", "error", "words"),
    [
        *[
            (
                "dream-coder",
                lambda f, name=name: edit(f, architectures=[name]),
                UnsupportedModel,
                "block diffusion model",
            )
            for name in BLOCKWISE
        ],
        ("dream-coder", lambda f: edit(f, block_size=32), UnsupportedModel, "does not see the code behind"),
        ("dream-coder", lambda f: edit(f, architectures=["Own"]), UnsupportedModel, "needs its own code"),
        ("open-dcoder", lambda f: edit(f, auto_map={"AutoModel": "own.Model"}), UnsupportedModel, "needs its own code"),
        ("dream-coder", lambda f: edit(f, mask_token_id=77), UnsupportedModel, "mask_token .* is 77"),
        ("dream-coder", lambda f: edit(f, use_sliding_window=True, max_window_layers=1), BrokenCheckpoint, "sliding"),
        ("llada", lambda f: edit(f, alibi=True), BrokenCheckpoint, "alibi True"),
        ("llada", lambda f: edit(f, block_type="sequential"), BrokenCheckpoint, "block_type 'sequential'"),
        ("llada", lambda f: edit(f, n_layers=100_000), BrokenCheckpoint, "100000 layers"),
        ("llada-moe", lambda f: edit(f, clip_qkv=8.0), BrokenCheckpoint, "clip_qkv 8.0"),
        ("llada-moe", lambda f: edit(f, num_experts=10_000), BrokenCheckpoint, "10000 experts"),
        ("coda", lambda f: change(f, **{"lm_head.weight": torch.zeros(3, 3)}), BrokenCheckpoint, "wrong shape"),
        ("llada", lambda f: change(f, own=torch.zeros(3)), BrokenCheckpoint, "fit nowhere: own"),
        ("llada", lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), UnsupportedModel, "pickled"),
        ("dream-coder", lambda f: (f / "merges.txt").unlink(), BrokenCheckpoint, "tokenizer.json is missing"),
        ("dream-coder", lambda f: (f / "merges.txt").write_text("one\n"), BrokenCheckpoint, "no valid tokenizer"),
    ],
)
def test_load_what_cannot_be_run_raises_with_reason(
    tmp_path: Path, kind: str, damage: Callable[[Path], object], error: type[Exception], words: str
) -> None:
    folder = published_checkpoint(tmp_path, kind)
    damage(folder)
    with pytest.raises(error, match=words):
        Engine(load(folder, "cpu"))


@pytest.mark.parametrize(
    ("infill", "words"),
    [
        ({"decoding": "left"}, "decoding .* another than left"),
        ({"before_tokens": 0}, "before_tokens .* at least 1"),
        ({"hole_policy": "grow"}, "expand_token .* is ''"),
        ({"mask_token": "<|hole|>"}, r"mask_token .* is '<\|hole\|>'"),
    ],
)
def test_open_with_a_wrong_profile_raises(tmp_path: Path, infill: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words):
        Engine(load(published_checkpoint(tmp_path, "dream-coder", **infill), "cpu"))


def test_size_counts_every_value(loaded: LoadedModel) -> None:
    tensors = load_file(loaded.folder / "model.safetensors")
    assert loaded.info.parameters == sum(tensor.numel() for tensor in tensors.values())
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    config = json.loads((loaded.folder / "config.json").read_text())
    named = {loaded.family.slot_name(name): shape for name, shape in shapes.items()}
    assert loaded.family.size(config, named).values == loaded.info.parameters
