"""What is asked for: an action at a place of a document. Plain values that any thread may use; knows no LSP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from dgls.code.document import Span


class Action(StrEnum):
    FILL = "fill"
    """The stub at the place gets a body."""
    FILL_ALL = "fill-all"
    """So do all stubs of the document, as many of them together as a canvas holds."""
    REFINE = "refine"
    """The selection is changed a little: its least certain tokens are found anew."""
    REWRITE = "rewrite"
    """The selection is written anew, with or without an instruction."""
    FIX = "fix"
    """The statement that a diagnostic covers is found anew, in part."""


LIGHTLY, MORE, HEAVILY = 0.15, 0.35, 0.7
STRENGTHS = MappingProxyType({"lightly": LIGHTLY, "more": MORE, "heavily": HEAVILY})
"""Strengths of `Action.REFINE`: the share of the selection's tokens that is generated anew. Clients get them from
here, when they initialize the server."""


@dataclass(frozen=True, slots=True)
class Task:
    """`span` is the selection, or empty at the cursor; for a fix it is what the diagnostic covers.

    `instruction` says in words what is wanted; for a fix it is the diagnostic's message. `keep` are lines of the
    document, from 0, of which nothing changes. Another `seed` gives another candidate.
    """

    action: Action
    span: Span
    instruction: str = ""
    strength: float = MORE
    keep: tuple[int, ...] = ()
    seed: int = 0
