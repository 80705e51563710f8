"""Sort the contents of a function's body into placeholders, docstring and comments, or code. From the tree; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from dgls.change.stubs.layout import Inside
from dgls.change.stubs.placeholders import does_nothing, explains, is_comment, is_value, refuses, says_todo, says_what
from dgls.code.document import Document, Span
from dgls.code.indentation import indentation, width
from dgls.code.language import Language
from dgls.code.syntax import Syntax

_WRAPPERS = frozenset({"block", "statement_list", "body_statement"})
_EXPRESSION = "arrow_expression_clause"
_HEADS = ("parameters", "name")  # fields after which a body without brackets begins


@dataclass(slots=True)
class Body:
    """A body without code. `start` and the spans are offsets in the document.

    `header` is the signature's text. The placeholders are `gone`; docstring and comments are `kept`. `todo`: a comment
    says TODO. `refuses`: a statement says that code is missing. `explained`: another comment may say why there is no
    code. `expression`: the body is a single expression.
    """

    header: str
    start: int
    opened: int
    closed: int | None
    gone: list[Span] = field(default_factory=list)
    kept: list[Span] = field(default_factory=list)
    todo: bool = False
    refuses: bool = False
    explained: bool = False
    expression: bool = False

    @property
    def inside(self) -> Inside:
        return Inside(self.start, self.opened, self.closed, self.gone, self.kept)


def body_of(document: Document, syntax: Syntax, owner: Node) -> Body | None:
    """The body of a function or of another node that has one. None if it holds code, or there is no body."""
    bounds = _bounds(syntax, owner)
    if bounds is None:
        return None
    opened, closed = bounds
    nodes = _sorted(syntax, owner, opened, owner.end_byte if closed is None else closed)
    if nodes is None:
        return None
    header = syntax.source[owner.start_byte : opened].decode("utf-8", "surrogatepass")
    start = syntax.offset(owner.start_byte)
    body = Body(header, start, start + len(header), None if closed is None else syntax.offset(closed))
    for node, gone in nodes:
        at = syntax.offset(node.start_byte)
        code = syntax.code(node).rstrip()
        _take(body, syntax.language, Span(at, at + len(code)), code, gone)
    child = owner.child_by_field_name("body")
    body.expression = child is not None and child.type == _EXPRESSION
    if closed is None:
        _take_lines_below(body, document, syntax)
    return body


def _bounds(syntax: Syntax, owner: Node) -> tuple[int, int | None] | None:
    """The start and end of a body, in bytes. No end in a language where indentation ends a body."""
    if syntax.language.offside:
        colon = next((child for child in reversed(owner.children) if child.type == ":"), None)
        return None if colon is None or colon.is_missing else (colon.end_byte, None)
    child = owner.child_by_field_name("body")
    if child is not None and child.type == _EXPRESSION and not child.has_error:
        return child.children[0].end_byte, child.end_byte
    for node in (child, owner):
        if node is not None and len(node.children) >= 2:
            first, last = node.children[0], node.children[-1]
            if first.type == "{" and last.type == "}" and not last.is_missing:
                return first.end_byte, last.start_byte
    last = owner.children[-1] if owner.children else owner
    if last.type != "end" or last.is_missing:
        return None
    head = next((node for name in _HEADS if (node := owner.child_by_field_name(name)) is not None), None)
    return None if head is None or last.start_byte < head.end_byte else (head.end_byte, last.start_byte)


def _sorted(syntax: Syntax, owner: Node, start: int, end: int) -> list[tuple[Node, bool]] | None:
    """The nodes between `start` and `end`, and whether each is a placeholder. None if there is code among them."""
    language = syntax.language
    nodes: list[tuple[Node, bool]] = []
    values = missing = False  # a value is a placeholder only if something else says that code is missing
    for node in _nodes(owner, start, end):
        comment = node.type in language.comments
        code = syntax.code(node)
        if node.has_error and "\n" in code:
            return None  # unfinished code swallowed some of the text below
        if comment:
            missing = missing or says_todo(code)
            nodes.append((node, says_todo(code) and not says_what(code)))
        elif does_nothing(code, language) or refuses(code, language):
            missing = missing or refuses(code, language)
            nodes.append((node, True))
        elif language.offside and _is_docstring(node) and all(not gone for _, gone in nodes):
            nodes.append((node, False))
        elif is_value(code, language):
            values = True
            nodes.append((node, True))
        else:
            return None
    return nodes if missing or not values else None


def _nodes(node: Node, start: int, end: int) -> Iterator[Node]:
    for child in node.children:
        if child.end_byte <= start or child.start_byte >= end or child.start_byte == child.end_byte:
            continue
        if child.type in _WRAPPERS or child.start_byte < start or child.end_byte > end:
            yield from _nodes(child, start, end)
        elif child.is_named or child.type.strip():
            yield child


def _is_docstring(node: Node) -> bool:
    return node.type == "expression_statement" and [child.type for child in node.children] == ["string"]


def _take(body: Body, language: Language, span: Span, code: str, gone: bool) -> None:
    (body.gone if gone else body.kept).append(span)
    body.todo = body.todo or (is_comment(code) and says_todo(code))
    body.refuses = body.refuses or (gone and refuses(code, language))
    body.explained = body.explained or (is_comment(code) and not gone and explains(code))


def _take_lines_below(body: Body, document: Document, syntax: Syntax) -> None:
    """Add comments below the last statement that are indented like the body: the tree leaves them outside."""
    taken = [*body.gone, *body.kept]
    line = document.line_at(max([body.opened, *(span.end for span in taken)])) + 1
    outer = width(indentation(document.line_text(document.line_at(body.start))))
    while line < document.line_count and line < document.line_at(syntax.start + len(syntax.text)) + 1:
        text = document.line_text(line)
        code = text.strip()
        if code and not (code.startswith("#") and width(indentation(text)) > outer):
            return
        if code:
            start = document.line_start(line) + len(indentation(text))
            gone = says_todo(code) and not says_what(code)
            _take(body, syntax.language, Span(start, start + len(code)), code, gone)
        line += 1
