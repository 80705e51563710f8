"""What a command must know of a model before it is loaded. Reads files only, and never torch: a mistake is told at
once, not after the seconds that loading takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgls.code.window import CountTokens
from dgls_engine.profile import Profile
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.checkpoint import read_checkpoint
from dgls_engine.weights.hub import locate
from dgls_engine.weights.profiles import read_profile


@dataclass(frozen=True, slots=True)
class UnloadedModel:
    folder: Path
    profile: Profile
    count: CountTokens


def unloaded(name: str) -> UnloadedModel:
    """Raises the engine's errors for a model that is not there or cannot be used."""
    folder = read_checkpoint(locate(name)).folder
    profile = read_profile(folder)
    tokenizer = Tokenizer(folder / "tokenizer.json")
    return UnloadedModel(folder, profile, lambda text: len(tokenizer.encode(text)))
