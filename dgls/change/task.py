"""A task: an action at a place in a document. Plain values that any thread may use; knows no LSP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from dgls.code.document import Span


class Action(StrEnum):
    FILL = "fill"
    """Fill the stub at the place."""
    FILL_ALL = "fill-all"
    """Fill all stubs of the document, as many together as a canvas holds."""
    REFINE = "refine"
    """Change the selection a little: generate its least certain tokens again."""
    REWRITE = "rewrite"
    """Rewrite the selection, with or without an instruction."""
    FIX = "fix"
    """Generate part of the statement that a diagnostic covers again."""


LIGHTLY, MORE, HEAVILY = 0.15, 0.35, 0.7
STRENGTHS = MappingProxyType({"lightly": LIGHTLY, "more": MORE, "heavily": HEAVILY})
"""Strengths of `Action.REFINE`: the share of the selection's tokens to generate again.

The server sends them to clients when it is initialized.
"""


@dataclass(frozen=True, slots=True)
class Task:
    """`span` is the selection, or empty at the cursor; for a fix it is the diagnostic's range.

    `instruction` is in plain words; for a fix it is the diagnostic's message. The lines `keep`, from 0, do not change.
    Another `seed` gives another candidate.
    """

    action: Action
    span: Span
    instruction: str = ""
    strength: float = MORE
    keep: tuple[int, ...] = ()
    seed: int = 0
