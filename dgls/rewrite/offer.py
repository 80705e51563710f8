"""Which actions make sense at a place. Cheap: no engine, and no more of a long document is read than needed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dgls.document import Document, Span
from dgls.region.syntax import Syntax
from dgls.rewrite.task import Task


@dataclass(frozen=True, slots=True)
class Offer:
    """`title` is for people."""

    title: str
    task: Task


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """What some other tool says of a place."""

    span: Span
    message: str


def offers(
    document: Document, span: Span, syntax: Syntax | None, diagnosed: Sequence[Diagnosed], instructions: bool
) -> list[Offer]:
    """In the order in which a menu should show them. `instructions`: whether the model takes any."""
    return []
