"""The selection is changed a little: it is the draft, of which the engine opens the tokens that the model doubts most.

A draft comes back with changes here and there that do not need each other, so those that would break code that parses
are left out one by one. Pure; runs on any thread.
"""

from __future__ import annotations

from dataclasses import replace

from dgls.document import Document
from dgls.rewrite.chain import Manner, in_turn
from dgls.rewrite.edit import breaks, minimal
from dgls.rewrite.fitting import redrafted
from dgls.rewrite.passage import Job, Outcome, Room
from dgls.rewrite.selection import open_parts
from dgls.rewrite.task import Task
from engine.types import Hole

_FEW = 4  # tokens of slack that even the shortest draft has


def refine(task: Task, document: Document, room: Room) -> Job:
    manner = Manner(lambda text: drafted(text, task.strength, room), redrafted, pins_rest=True, shows=False)
    return sound((yield from in_turn(document, open_parts(document, task.span, task.keep), room, manner)))


def drafted(text: str, strength: float, room: Room) -> Hole:
    """The more of a draft is found anew, the more slack it needs for tokens that were missing."""
    tokens = room.count(text)
    return Hole(max_tokens=tokens + max(_FEW, int(tokens * strength / 2)), draft=text, strength=strength)


def sound(outcome: Outcome) -> Outcome:
    """Without the changes that break code by themselves, if all of them together do."""
    if not breaks(outcome):
        return outcome
    whole = (each for each in minimal(outcome) if not breaks(replace(outcome, replacements=(each,))))
    return replace(outcome, replacements=tuple(whole))
