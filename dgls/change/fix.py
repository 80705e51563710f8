"""Fix the statement that a diagnostic covers.

The statement is the draft, the diagnostic's message the instruction; the code around is pinned. Pure; runs on any
thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tree_sitter import Node

from dgls.change.chain import RewriteRules, rewrite_parts
from dgls.change.passage import Job, Room
from dgls.change.rewrite import revised
from dgls.change.selection import open_parts, trimmed
from dgls.change.sound import keep_text, kept_sound
from dgls.change.task import Task
from dgls.code.document import Document, Span
from dgls.code.syntax import Syntax
from dgls.errors import NothingToDo

STRENGTH = 0.6
"""Most of the statement is open, because a mistake is seldom a single token."""

_MOST_LINES = 20  # a diagnostic that covers more is about a definition or file: no change of a statement fixes it


def fix(task: Task, document: Document, room: Room, syntax: Syntax | None) -> Job:
    covered = statement_at(document, task.span, syntax)
    if covered is None:
        raise NothingToDo("the diagnostic covers no statement; select the code to change and refine it")
    parts = open_parts(document, covered, task.keep)
    rules = RewriteRules(
        lambda text: revised(text, STRENGTH, room),
        keep_text,
        pins_rest=True,
        shows=True,
        instruction=task.instruction if room.instructions else "",
    )
    return (yield from kept_sound(rewrite_parts(document, parts, room, rules)))


def statement_at(document: Document, span: Span, syntax: Syntax | None) -> Span | None:
    """The smallest statement, or statements, around `span`. Of one with a body, only the head that `span` is in.

    Without a usable tree, whole lines. None if the diagnostic covers blank text, the whole file (an empty span at its
    start) or more than `_MOST_LINES` lines.
    """
    span = Span(max(0, span.start), min(span.end, len(document.text)))
    first, last = document.line_at(span.start), document.line_at(span.end)
    if last - first >= _MOST_LINES or span.end == 0:
        return None
    lines = Span(document.line_start(first), document.line_end(last))
    place = trimmed(document, span) or (span if span.start == span.end else None)
    if place is None or trimmed(document, lines) is None:
        return None
    statement = _statement(syntax, place) if syntax is not None else None
    if statement is None or document.line_at(statement.end) - document.line_at(statement.start) >= _MOST_LINES:
        statement = lines
    return trimmed(document, statement)


def _statement(syntax: Syntax, span: Span) -> Span | None:
    """None if `span` is outside of the tree or in a broken part of it."""
    if not syntax.start <= span.start <= span.end <= syntax.start + len(syntax.text):
        return None
    start, end = syntax.byte(span.start), syntax.byte(span.end)
    first = max(0, start - 1) if start == end else start
    innermost = syntax.tree.root_node.descendant_for_byte_range(first, end)
    bodies = syntax.language.bodies
    around = syntax.lineage(innermost) if innermost is not None else ()
    for node, parent in pairwise(around):
        if node.type in bodies:
            break
        if node.is_error:
            return None
        if parent.type in bodies or any(child.type in bodies for child in node.children):
            return _between_bodies(syntax, node, start, end)
    body = next((node for node in around if node.type in bodies), None)
    if body is None:
        return None
    covered = [child for child in body.named_children if child.start_byte < end and start < child.end_byte]
    if not covered or any(child.is_error for child in covered):
        return None
    return Span(syntax.offset(covered[0].start_byte), syntax.offset(covered[-1].end_byte))


def _between_bodies(syntax: Syntax, node: Node, start: int, end: int) -> Span:
    """The part of the statement `node` around these bytes that is in none of its bodies."""
    bodies = list(_bodies(node, syntax.language.bodies))
    left = max((body.end_byte for body in bodies if body.end_byte <= start), default=node.start_byte)
    right = min((body.start_byte for body in bodies if end <= body.start_byte), default=node.end_byte)
    return Span(syntax.offset(left), syntax.offset(right))


def _bodies(node: Node, types: frozenset[str]) -> Iterator[Node]:
    for child in node.children:
        if child.type in types:
            yield child
        else:
            yield from _bodies(child, types)
