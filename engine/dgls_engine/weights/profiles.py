"""The profile of a checkpoint's folder: `infill.json` over what `config.json` and `generation_config.json` settle.

Reads JSON files only: no tensors, no torch; any thread. The family says what the last two mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from dgls_engine.calibration import Calibration
from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.model.family import Family
from dgls_engine.profile import INFILL_FILE, Profile, read_json
from dgls_engine.weights.checkpoint import require_family

CHAT_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")


def read_profile(folder: Path) -> Profile:
    """The profile of the checkpoint in `folder`. Raises `BrokenCheckpoint` naming the file and what is wrong in it,
    and `UnsupportedModel` for a model that says nowhere how it wants to be prompted."""
    config = read_json(folder / "config.json")
    values = _defaults(folder, config, require_family(config, folder))
    if (folder / INFILL_FILE).is_file():
        own = read_json(folder / INFILL_FILE)
        unknown = sorted(set(own) - set(_types()))
        if unknown:
            raise BrokenCheckpoint(f"{folder / INFILL_FILE}: unknown keys {', '.join(unknown)}; remove them")
        values |= own
    if "prompt_format" not in values:
        raise UnsupportedModel(
            f"{folder} has neither a chat template nor an {INFILL_FILE}, so its prompt format is unknown; "
            "take an instruction-tuned checkpoint"
        )
    return _checked(values, folder)


def has_chat_template(folder: Path) -> bool:
    """Whether the checkpoint brings a chat template, in a file of its own or in the tokenizer's config."""
    if any((folder / name).is_file() for name in CHAT_TEMPLATE_FILES):
        return True
    config = folder / "tokenizer_config.json"
    return config.is_file() and "chat_template" in read_json(config)


def _defaults(folder: Path, config: Mapping[str, Any], family: Family) -> dict[str, Any]:
    path = folder / "generation_config.json"
    try:
        values = family.defaults(config, read_json(path) if path.is_file() else {})
    except ValueError as error:
        raise BrokenCheckpoint(f"{folder / 'config.json'}: {error}") from None
    return ({"prompt_format": "chat"} if has_chat_template(folder) else {}) | values


def _checked(values: Mapping[str, Any], folder: Path) -> Profile:
    for name, value in values.items():
        wanted = _types()[name]
        numeric = float if wanted == "float" else int
        right = (
            isinstance(value, (int, numeric)) and not isinstance(value, bool) if wanted in ("int", "float") else True
        )
        if not right:
            raise BrokenCheckpoint(
                f"the settings beside the model in {folder}: {name} should be a number, not {value!r}"
            )
    try:
        return Profile(**cast(Any, dict(values) | _calibration(values)))
    except (ValueError, TypeError) as error:
        raise BrokenCheckpoint(f"the settings beside the model in {folder} do not fit together: {error}") from None


def _calibration(values: Mapping[str, Any]) -> dict[str, Calibration]:
    return {"calibration": Calibration.from_json(values["calibration"])} if "calibration" in values else {}


def _types() -> dict[str, str]:
    return {own.name: str(own.type) for own in fields(Profile)}
