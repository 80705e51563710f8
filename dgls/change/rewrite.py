"""Rewrite or refine the selection, canvas by canvas.

`rewrite` puts an empty hole with slack in place of the old text and shows that text in the prompt. Without an
instruction the new text is about as long as the old; with one it may be as long as the canvas allows.

`refine` keeps the selection as a draft: the engine finds the tokens that the model doubts most and fills only those.
It leaves out changes that would break code that parses (`dgls.change.sound`).

Pure; runs on any thread.
"""

from __future__ import annotations

from dgls.change.chain import RewriteRules, rewrite_parts
from dgls.change.fitting import rewritten
from dgls.change.passage import Job, Room
from dgls.change.selection import open_parts
from dgls.change.sound import keep_text, kept_sound
from dgls.change.task import Task
from dgls.code.document import Document
from dgls.errors import NothingToDo
from dgls_engine.types import Hole, Revise

_LEAST_SLACK = 4
"""Tokens by which even the shortest text may grow."""


def rewrite(task: Task, document: Document, room: Room) -> Job:
    instructed = bool(task.instruction.strip())
    if instructed and not room.instructions:
        raise NothingToDo("this model takes no instructions; rewrite without one, or load a model that takes them")

    def hole(text: str) -> Hole:
        tokens = room.count(text)
        shortest = 1 if instructed else max(1, tokens // 3)
        return Hole(min_tokens=shortest, max_tokens=tokens + max(_LEAST_SLACK, tokens // 4))

    rules = RewriteRules(hole, rewritten, pins_rest=False, shows=True, grows=instructed, instruction=task.instruction)
    return (yield from rewrite_parts(document, open_parts(document, task.span, task.keep), room, rules))


def refine(task: Task, document: Document, room: Room) -> Job:
    rules = RewriteRules(lambda text: revised(text, task.strength, room), keep_text, pins_rest=True, shows=False)
    return (yield from kept_sound(rewrite_parts(document, open_parts(document, task.span, task.keep), room, rules)))


def revised(text: str, strength: float, room: Room) -> Hole:
    """A hole that starts from `text`. A greater strength adds slack, because more tokens may be missing."""
    tokens = room.count(text)
    return Hole(max_tokens=tokens + max(_LEAST_SLACK, int(tokens * strength / 2)), start=Revise(text, strength))
