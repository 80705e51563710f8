"""The selection is written anew: a hole with slack in its place, what stood there in the prompt.

Without an instruction the new text is about as long as the old; with one it may be as long as the canvas allows. Pure;
runs on any thread.
"""

from __future__ import annotations

from dgls.change.chain import Manner, in_turn
from dgls.change.fitting import rewritten
from dgls.change.passage import Job, Room
from dgls.change.selection import open_parts
from dgls.change.task import Task
from dgls.code.document import Document
from dgls.errors import NothingToDo
from dgls_engine.types import Hole

_FEW = 4  # tokens that even the shortest text may gain


def rewrite(task: Task, document: Document, room: Room) -> Job:
    instructed = bool(task.instruction.strip())
    if instructed and not room.instructions:
        raise NothingToDo("this model takes no instructions; rewrite without one, or load a model that takes them")

    def hole(text: str) -> Hole:
        tokens = room.count(text)
        shortest = 1 if instructed else max(1, tokens // 3)
        return Hole(min_tokens=shortest, max_tokens=tokens + max(_FEW, tokens // 4))

    manner = Manner(hole, rewritten, pins_rest=False, shows=True, grows=instructed, instruction=task.instruction)
    return (yield from in_turn(document, open_parts(document, task.span, task.keep), room, manner))
