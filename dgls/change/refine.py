"""The selection is changed a little: it is the draft, of which the engine opens the tokens that the model doubts most.

Changes that would break code that parses are left out (`dgls.change.sound`). Pure; runs on any thread.
"""

from __future__ import annotations

from dgls.change.chain import Manner, in_turn
from dgls.change.passage import Job, Room
from dgls.change.selection import open_parts
from dgls.change.sound import as_it_is, kept_sound
from dgls.change.task import Task
from dgls.code.document import Document
from dgls_engine.types import Hole, Revise

_FEW = 4  # tokens of slack that even the shortest draft has


def refine(task: Task, document: Document, room: Room) -> Job:
    manner = Manner(lambda text: drafted(text, task.strength, room), as_it_is, pins_rest=True, shows=False)
    return (yield from kept_sound(in_turn(document, open_parts(document, task.span, task.keep), room, manner)))


def drafted(text: str, strength: float, room: Room) -> Hole:
    """The more of a draft is found anew, the more slack it needs for tokens that were missing."""
    tokens = room.count(text)
    return Hole(max_tokens=tokens + max(_FEW, int(tokens * strength / 2)), start=Revise(text, strength))
