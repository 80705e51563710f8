"""Decodes a client's requests: the data of a code action and the parameters of commands.

Raises `BadParameters` for unusable input, with a message that says what to send. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, TypeVar
from uuid import uuid4

from cattrs import BaseValidationError, Converter, transform_error

from dgls.change.task import Action, Task
from dgls.code.document import Document, Position, PositionEncoding, Span
from dgls.errors import BadParameters

T = TypeVar("T")
MOST_CANDIDATES = 3
_MOST_CHARACTERS = 2**31 - 1  # in a line, LSP's limit


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """A task on one version of a document. `request` is its name in drafts, chosen by the client or the server.

    `opening` is from `Memory.opening`: a document that was closed and opened again can have the same version. None
    means the document that is open when the work begins.
    """

    request: str
    uri: str
    version: int
    task: Task
    opening: int | None = None

    def data(self) -> dict[str, Any]:
        """The data of a code action; `request_from_data` reads it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Range:
    start: Position
    end: Position


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The parameters of `dgls.rewrite`. With a `strength` the selection is refined. `keep`: lines, counted from 0."""

    uri: str
    version: int
    range: Range
    instruction: str = ""
    keep: tuple[int, ...] = ()
    strength: float | None = None
    candidates: int = 1
    seed: int = 0
    preview: bool = False
    request: str = ""

    def requests(self, document: Document, encoding: PositionEncoding) -> list[ActionRequest]:
        """One request for each candidate."""
        start, end = document.offset(self.range.start, encoding), document.offset(self.range.end, encoding)
        if self.version == document.version:  # any other version is refused later, with its own message
            self._check(document, start, end)
        task = Task(Action.REWRITE, Span(start, end), self.instruction, keep=self.keep, seed=self.seed)
        if self.strength is not None:
            task = replace(task, action=Action.REFINE, strength=self.strength)
        first = ActionRequest(self.request or new_request(), self.uri, self.version, task)
        return [replace(first, task=replace(task, seed=self.seed + index)) for index in range(self.candidates)]

    def _check(self, document: Document, start: int, end: int) -> None:
        for position in (self.range.start, self.range.end):
            _check_position("dgls.rewrite: range", document, position)
        if end < start:
            raise BadParameters("dgls.rewrite: range ends before it starts")
        first, last = document.line_at(start), document.line_at(max(start, end - 1))
        if outside := [line for line in self.keep if not first <= line <= last]:
            raise BadParameters(
                f"dgls.rewrite: keep names line {outside[0]}, outside of the range ({first} to {last}): it stays anyway"
            )


@dataclass(frozen=True, slots=True)
class Filling:
    """The parameters of `dgls.fill`: the stub at `position`, or all stubs of the document."""

    uri: str
    version: int
    position: Position
    all: bool = False
    request: str = ""

    def action_request(self, document: Document, encoding: PositionEncoding) -> ActionRequest:
        if self.version == document.version:
            _check_position("dgls.fill: position", document, self.position)
        offset = document.offset(self.position, encoding)
        task = Task(Action.FILL, Span(offset, offset))
        if self.all:
            task = Task(Action.FILL_ALL, Span(0, len(document.text)))
        return ActionRequest(self.request or new_request(), self.uri, self.version, task)


def new_request() -> str:
    return str(uuid4())


def request_from_data(data: object) -> ActionRequest:
    request = structured(data, ActionRequest, "the action's data")
    if not 0 <= request.task.span.start <= request.task.span.end:
        raise BadParameters("the action's data: the span ends before it starts; send back the data unchanged")
    _check_strength("the action's data", request.task.strength)
    return request


def act_from(arguments: object) -> ActionRequest:
    return request_from_data(_only(arguments, "dgls.act"))


def rewriting_from(arguments: object) -> Rewriting:
    rewriting = structured(_only(arguments, "dgls.rewrite"), Rewriting, "dgls.rewrite")
    rewriting = replace(rewriting, instruction=rewriting.instruction.strip())
    if rewriting.strength is not None:
        _check_strength("dgls.rewrite", rewriting.strength)
        if rewriting.instruction:
            raise BadParameters("dgls.rewrite: send an instruction or a strength, not both")
    if not 1 <= rewriting.candidates <= MOST_CANDIDATES:
        raise BadParameters(f"dgls.rewrite: candidates takes a whole number from 1 to {MOST_CANDIDATES}")
    if rewriting.candidates > 1 and not rewriting.preview:
        raise BadParameters("dgls.rewrite: several candidates need preview, for only one edit can be applied")
    return rewriting


def filling_from(arguments: object) -> Filling:
    return structured(_only(arguments, "dgls.fill"), Filling, "dgls.fill")


def _check_position(what: str, document: Document, position: Position) -> None:
    """Raise `BadParameters` if the position is not in the document. As in LSP, a character past a line's end means that
    end; the line after the last one means the end of the text."""
    if not (0 <= position.line <= document.line_count and 0 <= position.character <= _MOST_CHARACTERS):
        place = f"line {position.line}, character {position.character}"
        raise BadParameters(f"{what} is not in the document: {place} of {document.line_count} lines")


def _check_strength(what: str, strength: float) -> None:
    if not 0.0 < strength <= 1.0:
        raise BadParameters(f"{what}: strength takes a number above 0, up to 1")


def _only(arguments: object, command: str) -> object:
    if not isinstance(arguments, (list, tuple)) or len(arguments) != 1:
        raise BadParameters(f"{command} takes one argument, an object (docs/protocol.md)")
    return arguments[0]


def structured(value: object, kind: type[T], what: str) -> T:
    if not isinstance(value, Mapping):
        raise BadParameters(f"{what} must be an object (docs/protocol.md), not {type(value).__name__}")
    given = {name: part for name, part in value.items() if part is not None}
    try:
        return _converter().structure(given, kind)
    except BaseValidationError as error:
        raise BadParameters(f"{what}: {'; '.join(transform_error(error, path='it'))} (docs/protocol.md)") from error


@cache
def _converter() -> Converter:
    """Stricter than cattrs: "3" is not a number, and 1 is not a flag."""
    converter = Converter(forbid_extra_keys=True)

    def exactly(kind: type, *accepted: type) -> None:
        def structure(value: Any, _: Any) -> Any:
            if type(value) not in accepted:
                raise ValueError
            return kind(value)

        converter.register_structure_hook(kind, structure)

    exactly(str, str)
    exactly(int, int)
    exactly(bool, bool)
    exactly(float, int, float)
    converter.register_structure_hook(Action, lambda value, _: Action(value))  # else the hook for str would take it
    return converter
