"""What a user may want to know of the server, from what the session knows. Pure; runs on the asyncio loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from dgls.server.host import Host
from dgls.server.settings import Settings
from dgls_engine.errors import MAY_PASS, EngineError

State = Literal["loading", "ready", "working", "resting", "paused", "failed"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Status:
    """After a failure `message` says what to do. None: not known (yet).

    `memory` is what the model's weights take on the device, in bytes; `instructions`: does it take them?
    """

    state: State
    model: str
    device: str | None = None
    message: str = ""
    percent: int | None = None
    memory: int | None = None
    instructions: bool | None = None


def status_of(host: Host, settings: Settings, working: bool) -> Status:
    worker, model, enabled = host.worker, settings.model, settings.inline_completion.enabled
    if worker is not None and worker.state == "failed":
        return Status("failed", model, message=_advice(worker.error))
    if worker.state == "loading" if worker is not None else enabled or working:
        return Status("loading", model, message=f"Loading the model {model}.", percent=host.percent)
    resting = worker is not None and worker.state == "resting"
    state: State = "working" if working else "paused" if not enabled else "resting" if resting else "ready"
    said = _SAID.get(state, host.shortage)
    info = host.info
    if info is None:
        return Status(state, model, message=said)
    memory, takes = None if resting else info.weight_bytes or None, info.profile.takes_instructions
    return Status(state, info.name, info.device, said, memory=memory, instructions=takes)


_SAID: dict[State, str] = {
    "paused": "Automatic suggestions are off: set dgls.inlineCompletion.enabled.",
    "resting": "The model has given its memory back and is loaded again for the next suggestion.",
}


def _advice(error: Exception | None) -> str:
    if isinstance(error, MAY_PASS):
        return f"{str(error).rstrip('.')}. Ask for a suggestion to try again."
    if isinstance(error, EngineError):
        return str(error)
    return f"The engine could not start ({error!r}). Run `dgls doctor` to see what is missing."
