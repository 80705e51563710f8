"""The few Python statements around an edit, as a small module that parses if the file does.

The module starts with the statement that the edit is in or follows, and ends before the first line on which nothing
continues that began there. `if 1:` stands in for the heads of the bodies around it, and `pass` for the code below. If
that is a definition, an empty one stands in for it, because the edit may be a decorator. Of a long statement above only
the end is kept. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tree_sitter import Node

from dgls.code.document import Document, Span
from dgls.code.indentation import indentation, width
from dgls.code.syntax import Syntax

_SIMPLE = frozenset({"expression_statement", "return_statement", "assert_statement", "raise_statement"})
"""Statements without a body, which may be deep."""
_DEEPEST = 300  # nodes; Python's blocks are nested 100 deep at most
_LONGEST = 100  # lines of a statement above that are parsed with the edit: about a millisecond


@dataclass(frozen=True, slots=True)
class Statements:
    """The `lines` of a document around `span`; together with `above` and `below` they are a module."""

    document: Document
    span: Span
    lines: range
    above: str
    below: str

    def text(self, new_text: str) -> str:
        """The module with `new_text` in place of the span."""
        document, span = self.document, self.span
        start, end = document.line_start(self.lines.start), document.next_line(self.lines.stop - 1)
        edited = f"{document.text[start : span.start]}{new_text}{document.text[span.end : end]}"
        line_break = "" if edited.endswith("\n") else "\n"  # a second one would end a line that a backslash continues
        return f"{self.above}{edited}{line_break}{self.below}"

    def until(self, new_text: str) -> str:
        """The module up to the line on which `new_text` ends in place of the span."""
        document, span = self.document, self.span
        start, end = document.line_start(self.lines.start), document.line_end(document.line_at(span.end))
        return f"{self.above}{document.text[start : span.start]}{new_text}{document.text[span.end : end]}\n"

    def without_edited_lines(self) -> str:
        """The module with `pass` in place of the lines of the span."""
        document = self.document
        first, last = document.line_at(self.span.start), document.line_at(self.span.end)
        start, end = document.line_start(self.lines.start), document.next_line(self.lines.stop - 1)
        left, right = document.text[start : document.line_start(first)], document.text[document.next_line(last) : end]
        return f"{self.above}{left}{indentation(document.line_text(first))}pass\n{right}\n{self.below}"


def statements_around(document: Document, span: Span, syntax: Syntax) -> Statements | None:
    """None if no statement starts above the edit in the window, and the window does not start with the file."""
    first = document.line_at(span.start)
    left = document.text[document.line_start(first) : span.start]
    depth = width(indentation(left))
    starts = _statements_above(document, first, syntax)
    nearest = above = next(starts, None)
    while above is not None and width(indentation(document.line_text(above[0]))) > depth:
        above = next(starts, None)
    if above is None or nearest is None:
        if syntax.start > 0:
            return None
        top, heads = 0, []
    else:
        top, around = nearest if first - above[0] > _LONGEST else above
        heads = _heads(document, around, syntax)
    level = [*heads, indentation(document.line_text(top))] if above is not None else [""]
    outside = next((indent for indent in reversed(level) if width(indent) <= depth), level[0])
    stop = _end(document, top, document.line_at(span.end), width(outside), syntax)
    if level[0]:
        heads.insert(0, "")
    bodies = "".join(f"{indent}if 1:\n" for indent in heads)
    below = document.line_text(stop) if stop < document.line_count else ""
    definition = below.startswith(tuple(outside + word for word in ("def ", "async ", "class ", "@")))
    rest = "def _(): pass" if definition else "pass"
    return Statements(document, span, range(top, stop), bodies, f"{outside}{rest}\n")


def _statements_above(document: Document, line: int, syntax: Syntax) -> Iterator[tuple[int, list[Node]]]:
    """The lines above on which a statement starts, nearest first, each with the nodes around the statement."""
    for above in range(line - 1, document.line_at(syntax.start) - 1, -1):
        text = document.line_text(above)
        if text.strip() and not text.lstrip().startswith("#"):
            around = _around_statement(_code_start(document, above, syntax), syntax)
            if around:
                yield above, around


def _around_statement(at: int, syntax: Syntax) -> list[Node]:
    """The nodes around the statement that starts at this byte, outermost first; none if no statement starts there."""
    around: list[Node] = []
    for node in _descent(at, syntax):
        if node.start_byte == at and around and _is_body(around[-1]) and not _is_body(node):
            return around
        if node.type in _SIMPLE:
            break
        around.append(node)
    return []


def _heads(document: Document, around: Sequence[Node], syntax: Syntax) -> list[str]:
    """The indentations of the statements whose bodies are among these nodes, outermost first."""
    indents: list[str] = []
    for parent, node in reversed(list(pairwise(around))):
        if node.type == "block":
            row = document.line_at(syntax.start) + parent.start_point.row
            indent = indentation(document.line_text(row))
            if not indents or width(indent) < width(indents[0]):
                indents.insert(0, indent)
    return indents


def _end(document: Document, top: int, last: int, level: int, syntax: Syntax) -> int:
    """The first line below `last` on which nothing continues that started at `top` or below."""
    start = syntax.byte(max(syntax.start, document.line_start(top)))
    for line in range(last + 1, document.line_at(syntax.start + len(syntax.text)) + 1):
        text = document.line_text(line)
        if not text.strip() or text.lstrip().startswith("#") or width(indentation(text)) > level:
            continue
        here = syntax.byte(document.line_start(line))
        around = _descent(_code_start(document, line, syntax), syntax)
        if not any(start <= node.start_byte < here and not _is_body(node) for node in around):
            return line
    return document.line_at(max(syntax.start, syntax.start + len(syntax.text) - 1)) + 1


def _code_start(document: Document, line: int, syntax: Syntax) -> int:
    return syntax.byte(document.line_start(line) + len(indentation(document.line_text(line))))


def _descent(at: int, syntax: Syntax) -> Iterator[Node]:
    """The nodes that hold the byte, outermost first."""
    cursor = syntax.tree.walk()
    for _ in range(_DEEPEST):
        node = cursor.node
        if node is None or node.start_byte > at:
            return
        yield node
        if cursor.goto_first_child_for_byte(at) is None:
            return


def _is_body(node: Node) -> bool:
    return node.type in ("block", "module")
