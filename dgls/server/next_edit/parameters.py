"""Decodes the requests of next edit. Raises `BadParameters` with a message that says what to send. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dgls.code.document import Position
from dgls.errors import BadParameters
from dgls.server.actions.parameters import structured


@dataclass(frozen=True, slots=True)
class Place:
    """A document, in the `version` that the client knows; None: in any."""

    uri: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """What a client asks with: its cursor in a document, and whether the user asked."""

    textDocument: Place
    position: Position
    invoked: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of the proposal `id`."""

    id: str
    accepted: bool


def asking_from(method: str, params: object) -> Asking:
    return structured(params, Asking, method)


def answered_from(method: str, params: object) -> Answered:
    return structured(params, Answered, method)


def copilots_asking_from(method: str, params: object) -> Asking:
    """Reads what clients of Copilot's server send. They add fields of their own."""
    if not isinstance(params, Mapping):
        raise BadParameters(f"{method} takes an object (docs/protocol.md)")
    document, context = params.get("textDocument"), params.get("context")
    kept = {
        "textDocument": {name: document[name] for name in ("uri", "version") if name in document}
        if isinstance(document, Mapping)
        else document,
        "position": params.get("position"),
        "invoked": isinstance(context, Mapping) and context.get("triggerKind") == 1,
    }
    return structured(kept, Asking, method)
