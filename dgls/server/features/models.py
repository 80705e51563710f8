"""dgls/models: the models that are on this machine, to choose one from. Choosing is a matter of the setting `model`.

Reading them takes a moment, so it runs on another thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pygls.lsp.server import LanguageServer

from dgls.server.session import Session
from dgls_engine.weights.hub import Installed, installed
from dgls_engine.weights.speeds import known_speeds

MODELS = "dgls/models"


@dataclass(frozen=True, slots=True)
class Choice:
    """A model on this machine. `bytes` are those of its files; `stepMs`: a denoising step took so long when it ran here
    last, None if it did not yet; `problem`: why it cannot be used, else empty."""

    name: str
    parameters: int
    bytes: int
    licence: str
    stepMs: float | None
    problem: str


def register(server: LanguageServer, session: Session) -> None:
    @server.feature(MODELS)
    async def models(params: Mapping[str, object] | None) -> dict[str, object]:
        choices = await asyncio.to_thread(choices_here)
        return {"chosen": session.settings.model, "models": [asdict(each) for each in choices]}


def choices_here() -> list[Choice]:
    """The models on this machine; those that can be used come first."""
    speeds = known_speeds()
    return [_choice(each, speeds.get(each.name)) for each in sorted(installed(), key=lambda each: bool(each.problem))]


def _choice(model: Installed, step_ms: float | None) -> Choice:
    return Choice(model.name, model.parameters, model.bytes, model.licence, step_ms, model.problem or "")
