"""The tree of the code around an offset: which nodes are there, and whether the code parses.

Parsing time grows with the text, and is many times longer behind an unclosed bracket. So only a window around the
offset is parsed. Its borders are chosen as those of the canvas: before definitions, and in slots, so that they stay put
while the user types. A border may cut code apart and cause an error there. Hence callers ask for errors at a place.

tree-sitter counts UTF-8 bytes; all offsets in this interface count the document's code points. Where there is no tree
(no grammar, a line too long, a text that takes too long), callers get None and rely on lines and indentation. Pure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from functools import cache
from typing import AnyStr

from tree_sitter import Node, Tree

from dgls.code.document import Document, Span
from dgls.code.languages import Language, language_of
from dgls.code.parsing import PIECE, parsed
from dgls.code.window import after_end, before_start, estimate_tokens

WINDOW_TOKENS = 5400
"""On either side of the offset, by `estimate_tokens`: some 300 lines, parsed anew in a few milliseconds."""
_DEEPEST = 1000  # nodes around a place that are looked at
_LONGEST = 50_000  # characters of a window; only lines of generated text make one longer


@dataclass(frozen=True, slots=True)
class Syntax:
    """A window of a document and its tree. `text` starts at `start` in the document. `source` is `text` in UTF-8, where
    a lone surrogate takes three bytes."""

    language: Language
    start: int
    text: str
    source: bytes
    tree: Tree

    def has_error(self, span: Span) -> bool:
        """Is there an error in the innermost body around `span`, or in the whole window if no body is around it?"""
        return self._body(span).has_error

    def breaks(self, span: Span, new_text: str) -> bool:
        """Does the window, or at least the body around `span`, parse now, but not with `new_text` in its place?"""
        body = self._body(span)
        if body.has_error:
            return False
        whole = not self.tree.root_node.has_error
        filled = self._with(span, new_text)
        if filled is None:
            return True
        if whole:
            return filled.tree.root_node.has_error
        new_body = filled._body(Span(span.start, span.start + len(new_text)), body)
        old_body = body if new_body != filled.tree.root_node else self.tree.root_node
        return new_body.has_error and not old_body.has_error

    def needs(self, span: Span, new_text: str, shorter: str) -> bool:
        """Does the window parse with `new_text` in place of `span`, but not with `shorter`?"""
        if new_text == shorter:
            return False
        with_all, with_less = self._with(span, new_text), self._with(span, shorter)
        return _has_error(with_less) and not _has_error(with_all)

    def _with(self, span: Span, new_text: str) -> Syntax | None:
        start, end = span.start - self.start, span.end - self.start
        return _parsed(self.language, self.start, self.text[:start] + new_text + self.text[end:], self)

    def around(self, offset: int) -> tuple[Node, ...]:
        """The nodes that hold the character before `offset`, innermost first; the root alone at the start."""
        return self._holding(max(self.start, offset - 1), offset)

    def leaf(self, offset: int) -> Node:
        """The smallest node, named or not, that holds the character before `offset`."""
        at = self.byte(offset)
        return self.tree.root_node.descendant_for_byte_range(max(0, at - 1), at) or self.tree.root_node

    def code(self, node: Node) -> str:
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "surrogatepass")

    def is_sure_of(self, literal: Node) -> bool:
        """Is this certainly a string or comment? In a window that starts inside a string, the code between two strings
        looks like one. Such a window has an error above, because prose is not code."""
        if self.start == 0 or literal.start_point.row == literal.end_point.row:
            return True
        node = self.tree.root_node
        while not node.is_error and (child := next((child for child in node.children if child.has_error), None)):
            node = child
        return not node.has_error or node.start_byte >= literal.start_byte

    def byte(self, offset: int) -> int:
        """The byte of `source` at which the document's code point at `offset` starts."""
        if len(self.source) == len(self.text):
            return offset - self.start
        return len(self.text[: offset - self.start].encode("utf-8", "surrogatepass"))

    def offset(self, byte: int) -> int:
        """The document's code point that starts at a byte of `source`."""
        if len(self.source) == len(self.text):
            return self.start + byte
        return self.start + len(self.source[:byte].decode("utf-8", "surrogatepass"))

    def _holding(self, start: int, end: int) -> tuple[Node, ...]:
        node = self.tree.root_node.named_descendant_for_byte_range(self.byte(start), self.byte(end))
        return self.lineage(node) if node is not None else ()

    def lineage(self, node: Node) -> tuple[Node, ...]:
        """A node and the nodes around it, innermost first; of a tree too deep for a person's code, the innermost.

        One descent from the root: `node.parent` descends anew on each call, which costs the square of the depth.
        """
        path: deque[Node] = deque([self.tree.root_node], _DEEPEST)
        while path[0] != node and (inner := path[0].child_with_descendant(node)) is not None:
            path.appendleft(inner)
        return tuple(path)

    def _body(self, span: Span, before: Node | None = None) -> Node:
        """The innermost body that holds `span` (and starts with the body `before` an edit, if given); else the root."""
        for node in self._holding(span.start, span.end):
            if node.type in self.language.bodies and (before is None or node.start_byte == before.start_byte):
                return node
        return self.tree.root_node


def _has_error(syntax: Syntax | None) -> bool:
    return syntax is None or syntax.tree.root_node.has_error


def parse(document: Document, offset: int, previous: Syntax | None = None) -> Syntax | None:
    """Parse the code around `offset` (clamped to the text), reusing what it shares with `previous`."""
    language = language_of(document.language, document.uri)
    line = document.line_at(max(0, offset))
    start, end = document.line_start(line), document.line_end(line)
    start = before_start(document, start, language, WINDOW_TOKENS, estimate_tokens)
    end = after_end(document, end, language, WINDOW_TOKENS, estimate_tokens)
    if end - start > _LONGEST:
        return None
    opening, closing = language.around_code
    if language.grammar_within and document.text.rfind(opening, 0, start) > document.text.rfind(closing, 0, end):
        language = _within(language)
    return _parsed(language, start, document.text[start:end], previous)


@cache
def _within(language: Language) -> Language:
    return replace(language, grammar=language.grammar_within)


def parse_all(document: Document) -> Syntax | None:
    """Parse the whole document."""
    return _parsed(language_of(document.language, document.uri), 0, document.text, None)


def _parsed(language: Language, start: int, text: str, previous: Syntax | None) -> Syntax | None:
    if previous is not None and previous.language is not language:
        previous = None
    elif previous is not None and (previous.start, previous.text) == (start, text):
        return previous
    source = text.encode("utf-8", "surrogatepass")
    tree = parsed(language, source, _edited(previous, source) if previous is not None else None)
    return Syntax(language, start, text, source, tree) if tree is not None else None


def _edited(previous: Syntax, source: bytes) -> Tree | None:
    """A copy of the previous tree in which the stretch of bytes that changed is marked; None if too much changed."""
    old = previous.source
    start = common_prefix(old, source)
    tail = common_suffix(old[start:], source[start:])
    tree = previous.tree.copy()
    old_end, new_end = len(old) - tail, len(source) - tail
    if new_end - start > PIECE:
        return None
    tree.edit(
        start,
        old_end,
        new_end,
        _point(old, start),
        _point(old, old_end),
        _point(source, new_end),
    )
    return tree


def _point(source: bytes, at: int) -> tuple[int, int]:
    """The row and column of a byte, as tree-sitter counts them."""
    return source.count(b"\n", 0, at), at - (source.rfind(b"\n", 0, at) + 1)


def common_prefix(left: AnyStr, right: AnyStr) -> int:
    """The length of the equal start, by bisection: comparing slices is far faster than a loop."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(left: AnyStr, right: AnyStr) -> int:
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[len(left) - middle : len(left) - low] == right[len(right) - middle : len(right) - low]:
            low = middle
        else:
            high = middle - 1
    return low
