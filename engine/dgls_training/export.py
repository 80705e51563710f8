"""Exports a run's checkpoint to a folder that the engine opens: bfloat16 safetensors, configs, tokenizer, profile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import DiffusionGemmaForBlockDiffusion

from dgls_engine.model_files import read_json
from dgls_engine.profile import Profile
from dgls_training import run_folder
from dgls_training.architecture import Architecture, new_model
from dgls_training.corpus import Package
from dgls_training.examples import Sizes

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def profile_of(sizes: Sizes) -> Profile:
    """The profile of a model that was trained at `sizes`: prompt and canvas are no longer than in training.

    The sampler's values are the best of those tried on held-out holes (docs/experiments/sampling.md).
    """
    return Profile(
        prompt_format="raw",
        hole_policy="pad",
        canvas_tokens=sizes.canvas,
        max_prompt_tokens=sizes.prompt,
        before_tokens=sizes.canvas * 3 // 8,
        after_tokens=sizes.canvas * 5 // 24,
        max_steps=24,
        entropy_bound=0.1,
        t_min=0.05,
        t_max=0.4,
        confidence_threshold=0.05,
        pinned_signal="always",
    )


def trained_model(run: Path) -> DiffusionGemmaForBlockDiffusion:
    """The model of a run's last checkpoint, float32, on the CPU."""
    model = new_model(Architecture.load(run / "architecture.json"), seed=0)
    model.load_state_dict(run_folder.load(run)["model"])
    model.train(False)
    return model


def adopt(exported: Path, run: Path) -> None:
    """Copy the tokenizer and the shape of an exported model into a new run, as its weights need both.

    Raises `ValueError` if the run has another tokenizer already.
    """
    (run / "tokenizer").mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        target = run / "tokenizer" / name
        if target.exists() and target.read_bytes() != (exported / name).read_bytes():
            raise ValueError(
                f"{target} is not the tokenizer of {exported}; delete {target.parent}, or take another run"
            )
        shutil.copyfile(exported / name, target)
    text = read_json(exported / "config.json")["text_config"]
    shape = Architecture.of(text["vocab_size"], text["hidden_size"], text["num_hidden_layers"])
    shape.save(run / "architecture.json")


def describe(run: Path, packages: Sequence[Package], folder: Path) -> None:
    """Write `training.json` into an exported folder: the packages of the training corpus, so that an evaluation can
    skip them."""
    progress = run_folder.load(run)["progress"]
    record = {
        "packages": sorted({package.name for package in packages}),
        "tokens": progress["tokens"],
        "steps": progress["step"],
        "minutes": round(progress["seconds"] / 60, 1),
    }
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def export(model: DiffusionGemmaForBlockDiffusion, tokenizer_folder: Path, folder: Path, profile: Profile) -> None:
    """Write a complete checkpoint into `folder`; replaces an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    module: torch.nn.Module = model  # transformers annotates `to` wrongly
    module.to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="15MB")
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_folder / name, folder / name)
    profile.save(folder)
