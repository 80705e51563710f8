"""Is the code at the cursor complete? Then a suggestion would only be in the way.

Complete code parses and looks finished: `total = 1`, but not `total = `, `pri` or `f(a, `. A tree alone cannot tell: a
half-typed name parses too, and so does an open expression that takes in the statement below. So a word must be known, a
statement must be more than a name, and if it continues below the cursor's line, it must be indented deeper there. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, pairwise

from tree_sitter import Node

from dgls.code.cursor import CLOSERS, Cursor, is_word
from dgls.code.indentation import closes_body, indentation, width
from dgls.code.syntax import Syntax

_NAME_ALONE = re.compile(r"[\w.$]+")
_WORD = re.compile(r"[^\W\d]\w*$")
_IMPORTS = re.compile(r"import|include|^use_|decorator|annotation")
_ANNOTATIONS = frozenset({"decorator", "annotation", "marker_annotation", "attribute_list"})
_USES = 50  # uses of a name that are examined: a name may be everywhere
_CLOSED = frozenset(")]}\"'`")


def is_complete(cursor: Cursor) -> bool:
    """Is nothing missing at the cursor, which is in code on a line that is not blank?"""
    if not cursor.left.strip():
        return not _in_open_bracket(cursor)
    if _is_gap(cursor) or cursor.opens_body:
        return False
    if cursor.syntax is None:
        return cursor.at_line_end and cursor.left[-1] in _CLOSED and not cursor.balance.openers
    statement = _statement(cursor)
    return (
        statement is not None
        and (not cursor.at_line_end or _ends_here(cursor, cursor.syntax, statement))
        and (not is_word(cursor.left[-1]) or _is_whole_word(cursor, cursor.syntax, statement))
    )


def _in_open_bracket(cursor: Cursor) -> bool:
    """Before a line's first character: is that a closing bracket, with nothing or a comma before the cursor?"""
    before = cursor.document.text[: cursor.offset].rstrip()[-1:]
    return cursor.right.lstrip()[:1] in CLOSERS.values() and (before in CLOSERS or before == ",")


def _is_gap(cursor: Cursor) -> bool:
    """Does the line show a place to fill: an empty bracket or string, nothing between a bracket and a comma or
    semicolon, a space before more code?"""
    last, first = cursor.left.rstrip()[-1], cursor.right.strip()[:1]
    quotes = {quote.start[-1]: quote.end for quote in cursor.language.quotes}
    empty = first == CLOSERS.get(last, quotes.get(last))
    after_comma = last == "," and first in CLOSERS.values()
    before_comma = last in CLOSERS and first in (",", ";")
    after_space = cursor.left[-1].isspace() and (cursor.right[:1] in ")]}>,;:" or cursor.right[:1].isspace())
    return empty or after_comma or before_comma or after_space


def _statement(cursor: Cursor) -> Node | None:
    """The innermost statement that the cursor is in or behind, if no error touches it on the cursor's line."""
    nodes = cursor.nodes if cursor.leaf.is_named else (cursor.leaf, *cursor.nodes)
    for node, parent in pairwise(nodes):
        if parent.type in cursor.language.bodies:
            break
        if node.is_error or node.is_missing:
            return None
    else:
        return None
    if node.has_error or node.start_byte >= cursor.byte:
        return None
    row = cursor.leaf.start_point.row
    for sibling in (node.prev_sibling, node.next_sibling):
        if sibling is not None and sibling.has_error and sibling.start_point.row <= row <= sibling.end_point.row:
            return None
    return node


def _ends_here(cursor: Cursor, syntax: Syntax, statement: Node) -> bool:
    """Does the statement end with the cursor's line, or continue below as its author means it?"""
    last = cursor.left[-1]
    if statement.start_byte + len(syntax.code(statement).rstrip().encode("utf-8", "surrogatepass")) <= cursor.byte:
        return last != "="
    if any(node.type in _ANNOTATIONS and node.end_byte == cursor.byte for node in cursor.nodes):
        return True
    if cursor.line_below is None:
        return False
    if last in CLOSERS:
        return cursor.below.lstrip()[:1] != CLOSERS[last]
    if last not in ".=" and closes_body(cursor.below, cursor.language):
        return True
    first = syntax.text.split("\n")[statement.start_point.row]  # tree-sitter ends lines there alone
    return width(indentation(cursor.below)) > width(indentation(first))


def _is_whole_word(cursor: Cursor, syntax: Syntax, statement: Node) -> bool:
    """Is the word before the cursor finished: a keyword, a number, a name that is in use?"""
    leaf, match = cursor.leaf, _WORD.search(cursor.left)
    if match is None or not leaf.is_named or leaf.type in cursor.language.literals:
        return True
    if not cursor.language.ends_with_value and _NAME_ALONE.fullmatch(syntax.code(statement)):
        return False
    uses = list(islice(_uses(match[0], leaf, syntax), _USES))
    is_attribute = cursor.left[: match.start()].endswith(".")
    if match[0] in cursor.language.words and (not uses or is_attribute):
        return not is_attribute
    only_called = all(syntax.source[use.end_byte : use.end_byte + 1] == b"(" for use in uses)
    return bool(uses) and (not only_called or _is_imported(cursor))


def _uses(word: str, leaf: Node, syntax: Syntax) -> Iterator[Node]:
    """Where else in the code the word of `leaf` is a name."""
    name = word.encode("utf-8", "surrogatepass")
    for match in re.finditer(rb"(?<!\w)" + re.escape(name) + rb"(?!\w)", syntax.source):
        node = syntax.tree.root_node.descendant_for_byte_range(*match.span())
        if node is not None and node.is_named and node.byte_range == match.span() != leaf.byte_range:
            yield node


def _is_imported(cursor: Cursor) -> bool:
    return any(_IMPORTS.search(node.type) for node in cursor.nodes)
