"""Which packages a model was trained on, and which were kept for evaluation."""

from __future__ import annotations

from pathlib import Path


def trained_on(model_folder: Path) -> frozenset[str]:
    """The packages that the model's card or `training.json` names; empty where nothing is known."""
    raise NotImplementedError


def held_out() -> frozenset[str]:
    """The distributions that the embedded model's corpus leaves out."""
    raise NotImplementedError
