"""One keystroke's view of the code: the cursor, its line, the lines and the nodes around it.

Rules about the cursor read this view alone. What needs a scan of lines or of the tree is computed on first use and
kept, so that no rule repeats it. Knows neither the canvas nor why anyone asks. Pure; one thread uses a cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from tree_sitter import Node

from dgls.code.brackets import Balance, balance
from dgls.code.document import Document, Span
from dgls.code.embedded import embedded_at
from dgls.code.indentation import (
    closes_body,
    ends_body,
    indentation,
    levels,
    line_above,
    line_below,
    opens_body,
    unit,
    width,
)
from dgls.code.languages import Language, language_of
from dgls.code.literals import literal_at
from dgls.code.syntax import Syntax

CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_CLOSING = frozenset(")]}>\"'`;:, \t")
_SCANNED = 200  # lines above that are scanned where there is no tree: a quarter of a millisecond

Inside = Literal["code", "string", "comment"]


@dataclass(frozen=True)
class Cursor:
    """`left` and `right` are the text of the cursor's line, without the break. `syntax` is the tree around the cursor,
    None if there is none."""

    document: Document
    offset: int
    syntax: Syntax | None
    language: Language
    line: int
    left: str
    right: str

    @classmethod
    def at(cls, document: Document, offset: int, syntax: Syntax | None = None) -> Cursor:
        """`offset` is clamped to the text, and moved out of a \\r\\n."""
        assert syntax is None or document.text.startswith(syntax.text, syntax.start), "the tree belongs to another text"
        line = document.line_at(min(max(0, offset), len(document.text)))
        start, end = document.line_start(line), document.line_end(line)
        offset = min(max(0, offset), end)
        left, right = document.text[start:offset], document.text[offset:end]
        return cls(document, offset, syntax, language_of(document.language, document.uri), line, left, right)

    # The line.

    @property
    def at_line_end(self) -> bool:
        """Is there only whitespace on the right?"""
        return not self.right.strip()

    @property
    def on_blank_line(self) -> bool:
        return self.at_line_end and not self.left.strip()

    @property
    def span(self) -> Span:
        """What the fill replaces: nothing, or the whitespace that ends a blank line."""
        return Span(self.offset, self.offset + (len(self.right) if self.on_blank_line else 0))

    @property
    def in_word(self) -> bool:
        return is_word(self.left[-1:]) and is_word(self.right[:1])

    @cached_property
    def opens_body(self) -> bool:
        """Does the text on the left head a body, with nothing but closing characters on the right?"""
        return _CLOSING.issuperset(self.right) and opens_body(self.left, self.code_language)

    @cached_property
    def balance(self) -> Balance:
        """The brackets and the quote that the text on the left leaves open."""
        return balance(self.left, self.code_language)

    # The lines around.

    @cached_property
    def line_above(self) -> int | None:
        """The nearest line above that is not blank."""
        return line_above(self.document, self.line)

    @cached_property
    def line_below(self) -> int | None:
        return line_below(self.document, self.line)

    @cached_property
    def above(self) -> str:
        """The text of `line_above`, empty if there is none."""
        return "" if self.line_above is None else self.document.line_text(self.line_above)

    @cached_property
    def below(self) -> str:
        return "" if self.line_below is None else self.document.line_text(self.line_below)

    @cached_property
    def has_body(self) -> bool:
        """Is the line below indented deeper than the cursor's line?"""
        return width(indentation(self.below)) > width(indentation(self.left + self.right))

    @cached_property
    def unit(self) -> str:
        """What one level of indentation adds here."""
        return unit(self.document, self.line, self.language, self.offset)

    @cached_property
    def first_indents(self) -> tuple[str, ...]:
        """The indentations that code on the cursor's line may have if the line is blank, the likeliest first.

        The user chose the whitespace on the left, so it stays where it makes sense.
        """
        left, expected = self.left, self._expected_indent
        if self.above_opens_body:
            return (expected,) if expected.startswith(left) else (left,)
        enclosing = () if self.line_above is None else tuple(levels(self.document, self.line_above))
        if left and (not expected.startswith(left) or left in enclosing):
            return (left,)
        if not self.language.offside:
            return (expected,)
        possible = range(width(indentation(self.below)), width(expected))
        return (expected, *(level for level in enclosing if level.startswith(left) and width(level) in possible))

    @cached_property
    def above_opens_body(self) -> bool:
        return opens_body(self.above, self.language)

    @cached_property
    def _expected_indent(self) -> str:
        indent, next_indent = indentation(self.above), indentation(self.below)
        if self.above_opens_body:
            return indent + self.unit
        if self.line_above is None or closes_body(self.below, self.language):
            return indent
        blank_lines = self.line - self.line_above - 1
        body_may_end = blank_lines or (self.language.offside and ends_body(self.above))
        ends = body_may_end and (blank_lines > 1 or not self.starts_body)
        return next_indent if ends and width(next_indent) < width(indent) else indent

    @cached_property
    def starts_body(self) -> bool:
        """Is the code above the head of a body that holds at most a docstring and comments so far?"""
        if self.above_opens_body:
            return True
        if self.syntax is None or self.line_above is None:
            return False
        above_end = self.document.line_start(self.line_above) + len(self.above.rstrip())
        around, bodies = pairwise(self.syntax.around(above_end)), self.language.bodies
        inner, body = next((pair for pair in around if pair[1].type in bodies), (None, None))
        if inner is None or body == self.syntax.tree.root_node:  # the file itself is no body
            return False
        statement: Node | None = inner
        while statement is not None and is_text(statement, self.language):
            statement = statement.prev_named_sibling
        return statement is None

    # The tree.

    @cached_property
    def byte(self) -> int:
        """The offset in the tree's bytes. Only where there is a tree."""
        assert self.syntax is not None, "there is no tree"
        return self.syntax.byte(self.offset)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The named nodes that hold the character before the cursor, innermost first; none without a tree."""
        return () if self.syntax is None else self.syntax.around(self.offset)

    @cached_property
    def leaf(self) -> Node:
        """The smallest node, named or not, that holds the character before the cursor. Only where there is a tree."""
        assert self.syntax is not None, "there is no tree"
        return self.syntax.leaf(self.offset)

    @cached_property
    def parses(self) -> bool:
        """Does the innermost body around the cursor parse? False without a tree."""
        return self.syntax is not None and not self.syntax.has_error(self.span)

    @cached_property
    def embedded(self) -> tuple[Language, int] | None:
        """The language of the code around the cursor, and where that code starts, if it is not the file's language."""
        return embedded_at(self.document.text, self.offset, self.language)

    @property
    def code_language(self) -> Language:
        """The language of the code around the cursor."""
        return self.language if self.embedded is None else self.embedded[0]

    @cached_property
    def inside(self) -> Inside:
        """The tree tells, except in code of another language and where something is not closed yet: there the text
        above does. An empty string that only the text tells of is a place to fill."""
        by_tree: Inside | None = next(filter(None, map(self._inside, self.nodes)), None)
        if by_tree is not None:
            return by_tree
        undivided = any(node.type in self.language.undivided for node in self.nodes)
        if self.embedded is None and self.parses and not undivided:
            return "code"
        language, start = self.embedded or (self.language, self._start)
        literal = literal_at(self.document.text, start, self.offset, language)
        if literal is None:
            return "code"
        empty = self.left.endswith(literal.mark) and self.right.startswith(literal.end)
        return "code" if empty and literal.kind == "string" and self.syntax is None else literal.kind

    @cached_property
    def _start(self) -> int:
        """Where the text above that tells of strings and comments starts: with the tree, if there is one."""
        if self.syntax is not None:
            return self.syntax.start
        return self.document.line_start(max(0, self.line - _SCANNED))

    def _inside(self, node: Node) -> Inside | None:
        """What the type of a node around the cursor says; None if it says nothing."""
        if node.type in self.language.interpolations:
            return "code"
        if node.type in self.language.strings and self._in_string(node):
            return "string"
        if node.type in self.language.comments and self._in_comment(node):
            return "comment"
        return None

    def _in_string(self, node: Node) -> bool:
        assert self.syntax is not None, "a node comes from a tree"
        return node.start_byte < self.byte < node.end_byte and self.syntax.is_sure_of(node)

    def _in_comment(self, node: Node) -> bool:
        """A comment up to the line's end goes on behind its last character, another one does not."""
        assert self.syntax is not None, "a node comes from a tree"
        if node.start_byte >= self.byte or not self.syntax.is_sure_of(node):
            return False
        source, blocks = self.syntax.source, self.language.block_comments
        if any(source.startswith(mark.removeprefix("^").encode(), node.start_byte) for mark, _ in blocks):
            return self.byte < node.end_byte
        return b"\n" not in source[node.start_byte : self.byte]


def is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def is_text(statement: Node, language: Language) -> bool:
    """Is it a comment or a docstring?"""
    if statement.type in language.comments:
        return True
    if statement.named_child_count != 1:
        return False
    only = statement.named_children[0]
    return only.type in language.strings and only.start_byte == statement.start_byte
