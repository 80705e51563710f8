"""The list of model families. Imports no torch; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgls_engine.model.diffusion_gemma.family import INSTRUCTION_TUNED, DiffusionGemma
from dgls_engine.model.family import Family, Published
from dgls_engine.model.masked.family import Masked
from dgls_engine.model.masked.published import CONVENTIONS
from dgls_engine.model.masked.published import FILLS_CODE as FILLS_CODE

FAMILIES: tuple[Family, ...] = (DiffusionGemma(), Masked())

LARGE: Published = INSTRUCTION_TUNED
"""The model that `dgls models` offers to download."""


LICENCES: Mapping[str, str] = {LARGE.name: "Apache-2.0"} | {
    each.name: each.licence for each in CONVENTIONS if each.licence not in ("unclear", "not seen")
}
"""The licences of published models, by their name on the hub."""


NOT_COMMERCIAL: frozenset[str] = frozenset(
    each.name for each in CONVENTIONS if each.name in LICENCES and not each.commercial
)
"""Those of them whose licence forbids commercial use."""


def family_of(config: Mapping[str, Any]) -> Family | None:
    """The family of a `config.json`; None if no family runs it."""
    named = config.get("architectures")
    for family in FAMILIES:
        for architecture, kinds in family.architectures.items():
            if isinstance(named, list) and architecture in named and config.get("model_type") in kinds:
                return family
    return None


def refusal(config: Mapping[str, Any]) -> str | None:
    """Why no family runs the model of a `config.json`, although one knows it; None otherwise."""
    return next((reason for family in FAMILIES if (reason := family.refuses(config)) is not None), None)
