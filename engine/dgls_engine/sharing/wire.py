"""What holder and guests say to each other: frozen values, as JSON.

    encode(Asked(1, request)) -> bytes          decode(bytes) -> Asked(1, request)

JSON, because a message may come from anything that runs as the user: reading it makes values of these classes and runs
no code. A change here changes the version in `identity`. Pure; any thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cattrs.preconf.json import make_converter
from cattrs.strategies import configure_tagged_union

from dgls_engine import errors
from dgls_engine.errors import EngineError, reason_of
from dgls_engine.profile import ModelInfo
from dgls_engine.types import Infill, InfillRequest, Piece, Score, ScoreRequest, Segment, Start, Step

Request = InfillRequest | ScoreRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """A guest's request. `number` names it on this line."""

    number: int
    request: Request


@dataclass(frozen=True, slots=True)
class Dropped:
    """The guest no longer wants an answer."""

    number: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """So many bytes of the model are read."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The model is open, or its limits changed."""

    info: ModelInfo


@dataclass(frozen=True, slots=True)
class Stepped:
    number: int
    step: Step


@dataclass(frozen=True, slots=True)
class Filled:
    number: int
    infill: Infill


@dataclass(frozen=True, slots=True)
class Scored:
    number: int
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """An error of the request `number`; None: of opening the model. `kind` names its class in `errors`; it is empty for
    any other error."""

    number: int | None
    kind: str
    text: str

    @classmethod
    def of(cls, number: int | None, error: BaseException) -> Failed:
        known = isinstance(error, EngineError)
        return cls(number, type(error).__name__ if known else "", str(error) if known else reason_of(error))

    @property
    def error(self) -> Exception:
        kind = getattr(errors, self.kind, None) if self.kind else RuntimeError
        return kind(self.text) if isinstance(kind, type) and issubclass(kind, Exception) else EngineError(self.text)


@dataclass(frozen=True, slots=True)
class Beaten:
    """The holder is alive. Sent when nothing else was for a while."""


@dataclass(frozen=True, slots=True)
class Left:
    """The holder closes the model. `wanted`: only because its window does; the guests may go on using it."""

    wanted: bool


FromGuest = Asked | Dropped
FromHolder = Loaded | Opened | Stepped | Filled | Scored | Failed | Beaten | Left


class Unreadable(ValueError):
    """A message is none of ours."""


def encode(message: FromGuest | FromHolder) -> bytes:
    return json.dumps(_CONVERTER.unstructure(message, FromGuest | FromHolder), separators=(",", ":")).encode()


def from_guest(message: bytes) -> FromGuest:
    """Raises `Unreadable`."""
    said: FromGuest = _decoded(message, FromGuest)
    return said


def from_holder(message: bytes) -> FromHolder:
    """Raises `Unreadable`."""
    said: FromHolder = _decoded(message, FromHolder)
    return said


def _decoded(message: bytes, kind: Any) -> Any:
    try:
        return _CONVERTER.structure(json.loads(message), kind)
    except Exception as error:  # of any kind: a converter's, a value's own, a nesting too deep
        raise Unreadable(reason_of(error)) from None


def _piece(text: object, probability: float, entropy: float) -> Piece:
    return Piece(str(text), float(probability), float(entropy))


def _make_converter() -> Any:
    converter = make_converter(detailed_validation=False, omit_if_default=True)
    # The many pieces of a fill take most of the time; as lists they take half of it.
    converter.register_unstructure_hook(Piece, lambda piece: (piece.text, piece.probability, piece.entropy))
    converter.register_structure_hook(Piece, lambda value, _: _piece(*value))
    for union in (Start, Segment, Request, FromGuest, FromHolder, FromGuest | FromHolder):
        configure_tagged_union(union, converter, tag_name="is")
    return converter


_CONVERTER = _make_converter()
