"""Reads the files of a model's folder, without its weights.

    read_files(folder).profile      # raises if any file is missing or damaged

Imports no torch; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgls_engine.profile import Profile
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.checkpoint import Checkpoint, read_checkpoint
from dgls_engine.weights.profiles import read_profile


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """`profile` is the shipped one, without the user's calibration."""

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    profile: Profile

    @property
    def folder(self) -> Path:
        return self.checkpoint.folder


def read_files(folder: Path) -> ModelFiles:
    """Raises `ModelNotFound`, `UnsupportedModel` or `BrokenCheckpoint`."""
    return ModelFiles(read_checkpoint(folder), Tokenizer(folder / "tokenizer.json"), read_profile(folder))
