"""The few Python statements around an edit, as a small module that parses if the file does.

The module starts with the statement that the edit is in or follows, and ends before the first line on which nothing
continues that began there. `if 1:` stands in for the heads of the bodies around it, and `pass` for the code below. If
that is a definition, an empty one stands in for it, because the edit may be a decorator. Of a long statement above only
the end is kept. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from dgls.code.document import Document, Span
from dgls.code.indentation import indentation, width
from dgls.code.syntax import Syntax

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
        top, node = nearest if first - above[0] > _LONGEST else above
        heads = _heads(document, node, syntax)
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


def _statements_above(document: Document, line: int, syntax: Syntax) -> Iterator[tuple[int, Node]]:
    """The lines above on which a statement starts, nearest first, each with its statement."""
    for above in range(line - 1, document.line_at(syntax.start) - 1, -1):
        text = document.line_text(above)
        if text.strip() and not text.lstrip().startswith("#"):
            node = _leaf(document, above, syntax)
            while node.parent is not None and node.parent.start_byte == node.start_byte and not _is_body(node.parent):
                node = node.parent
            if node.parent is not None and _is_body(node.parent):
                yield above, node


def _heads(document: Document, node: Node, syntax: Syntax) -> list[str]:
    """The indentations of the statements whose bodies a node is in, outermost first."""
    indents: list[str] = []
    while (parent := node.parent) is not None:
        if node.type == "block":
            row = document.line_at(syntax.start) + parent.start_point.row
            indent = indentation(document.line_text(row))
            if not indents or width(indent) < width(indents[0]):
                indents.insert(0, indent)
        node = parent
    return indents


def _end(document: Document, top: int, last: int, level: int, syntax: Syntax) -> int:
    """The first line below `last` on which nothing continues that started at `top` or below."""
    start = syntax.byte(max(syntax.start, document.line_start(top)))
    for line in range(last + 1, document.line_at(syntax.start + len(syntax.text)) + 1):
        text = document.line_text(line)
        if not text.strip() or text.lstrip().startswith("#") or width(indentation(text)) > level:
            continue
        node: Node | None = _leaf(document, line, syntax)
        here = syntax.byte(document.line_start(line))
        while node is not None and not (start <= node.start_byte < here and not _is_body(node)):
            node = node.parent
        if node is None:
            return line
    return document.line_at(max(syntax.start, syntax.start + len(syntax.text) - 1)) + 1


def _leaf(document: Document, line: int, syntax: Syntax) -> Node:
    at = syntax.byte(document.line_start(line) + len(indentation(document.line_text(line))))
    return syntax.tree.root_node.descendant_for_byte_range(at, at + 1) or syntax.tree.root_node


def _is_body(node: Node) -> bool:
    return node.type in ("block", "module")
