"""Reads the profile of a checkpoint's folder: the family's defaults, and `infill.json`, which overrides them.

The family derives its defaults from `config.json` and `generation_config.json`. Reads JSON files only: no tensors, no
torch; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from dgls_engine.calibration import Calibration
from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.model.family import Family
from dgls_engine.model_files import holds, read_json, shown
from dgls_engine.profile import INFILL_FILE, Profile
from dgls_engine.weights.checkpoint import require_family

CHAT_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")


def read_profile(folder: Path) -> Profile:
    """The profile of the checkpoint in `folder`. Raises `BrokenCheckpoint` for an invalid file, and `UnsupportedModel`
    for a model whose files do not define a prompt format."""
    config = read_json(folder / "config.json")
    values = _defaults(folder, config, require_family(config, folder))
    if holds(folder / INFILL_FILE):
        overrides = read_json(folder / INFILL_FILE)
        unknown = sorted(set(overrides) - {field.name for field in fields(Profile)})
        if unknown:
            raise BrokenCheckpoint(f"{folder / INFILL_FILE}: unknown keys {shown(', '.join(unknown))}; remove them")
        values |= overrides
    if "prompt_format" not in values:
        raise UnsupportedModel(
            f"{folder} has neither a chat template nor an {INFILL_FILE}, so its prompt format is unknown; "
            "take an instruction-tuned checkpoint"
        )
    return _checked(values, folder)


def has_chat_template(folder: Path) -> bool:
    """Whether the checkpoint has a chat template, in its own file or in the tokenizer's config."""
    if any(holds(folder / name) for name in CHAT_TEMPLATE_FILES):
        return True
    config = folder / "tokenizer_config.json"
    return holds(config) and "chat_template" in read_json(config)


def _defaults(folder: Path, config: Mapping[str, Any], family: Family) -> dict[str, Any]:
    path = folder / "generation_config.json"
    try:
        values = family.defaults(config, read_json(path) if holds(path) else {})
    except ValueError as error:
        raise BrokenCheckpoint(f"{folder / 'config.json'}: {error}; fetch the model again") from None
    return ({"prompt_format": "chat"} if has_chat_template(folder) else {}) | values


def _checked(values: Mapping[str, Any], folder: Path) -> Profile:
    try:
        return Profile(**cast(Any, dict(values) | _calibration(values)))
    except (ValueError, TypeError) as error:
        raise BrokenCheckpoint(f"the JSON files of {folder} give no valid profile: {error}; correct it") from None


def _calibration(values: Mapping[str, Any]) -> dict[str, Calibration]:
    return {"calibration": Calibration.from_json(values["calibration"])} if "calibration" in values else {}
