"""The list of model families. Imports no torch; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgls_engine.model.diffusion_gemma.family import INSTRUCTION_TUNED, DiffusionGemma
from dgls_engine.model.family import Family, Published
from dgls_engine.model.masked.family import Masked

FAMILIES: tuple[Family, ...] = (DiffusionGemma(), Masked())

LARGE: Published = INSTRUCTION_TUNED
"""The model that `dgls models` offers to download."""


def family_of(config: Mapping[str, Any]) -> Family | None:
    """The family of a `config.json`; None if no family runs it."""
    named = config.get("architectures")
    for family in FAMILIES:
        for architecture, kind in family.architectures.items():
            if isinstance(named, list) and architecture in named and config.get("model_type") == kind:
                return family
    return None
