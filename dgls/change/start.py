"""The way in: a task on a document becomes a job. Pure."""

from __future__ import annotations

from dgls.change import fill, fix, refine, rewrite
from dgls.change.passage import Job, Room
from dgls.change.task import Action, Task
from dgls.code.document import Document
from dgls.code.syntax import Syntax


def start(task: Task, document: Document, room: Room, syntax: Syntax | None) -> Job:
    """Raises `NothingToDo` at the first step where the place does not allow the action. `syntax` is the tree around the
    task's span."""
    match task.action:
        case Action.FILL:
            return fill.fill(task, document, room, syntax)
        case Action.FILL_ALL:
            return fill.fill_all(task, document, room)
        case Action.REFINE:
            return refine.refine(task, document, room)
        case Action.REWRITE:
            return rewrite.rewrite(task, document, room)
        case Action.FIX:
            return fix.fix(task, document, room, syntax)
