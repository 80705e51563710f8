"""Is the code at the cursor complete? Then nothing is missing there, and a suggestion would only be in the way.

Complete is what parses and reads as if its author were done: `total = 1` but not `total = `, `pri` or `f(a, `. A tree
alone can't tell: a name half typed parses too, and so does what swallows the statement below. Hence the rules here: a
word must be known, a statement must be more than a name, and a line that goes on below must go on deeper. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from tree_sitter import Node

from dgls.code.brackets import balance
from dgls.code.cursor import CLOSERS, Cursor, is_word
from dgls.code.indentation import closes_body, indentation, line_below, width
from dgls.code.syntax import Syntax

_NAME_ALONE = re.compile(r"[\w.$]+")
_WORD = re.compile(r"[^\W\d]\w*$")
_IMPORTS = re.compile(r"import|include|^use_|decorator|annotation")
_ANNOTATIONS = frozenset({"decorator", "annotation", "marker_annotation", "attribute_list"})
_USES = 50  # looked at of a name, which may stand everywhere
_CLOSED = frozenset(")]}\"'`")


def is_complete(cursor: Cursor, syntax: Syntax | None) -> bool:
    """Is nothing missing at the cursor, which stands in code on a line that is not blank?"""
    left, right = cursor.left, cursor.right.strip()
    if not left.strip():
        return not _in_open_bracket(cursor)
    if _is_gap(cursor) or cursor.opens_body:
        return False
    if syntax is None:
        line = balance(left, cursor.language)
        return not right and left[-1] in _CLOSED and not line.openers
    statement = _statement(cursor, syntax)
    if statement is None:
        return False
    if not right and not _ends_here(cursor, syntax, statement):
        return False
    return not is_word(left[-1]) or _is_whole_word(cursor, syntax, statement)


def _in_open_bracket(cursor: Cursor) -> bool:
    """Before a line's first character: is it a closing bracket, and was its content only just begun?"""
    before = cursor.document.text[: cursor.offset].rstrip()[-1:]
    return cursor.right.lstrip()[:1] in CLOSERS.values() and (before in CLOSERS or before == ",")


def _is_gap(cursor: Cursor) -> bool:
    """Does the line itself show a place that is still to be filled: an empty bracket, a space typed to go on?"""
    left, right = cursor.left.rstrip(), cursor.right.strip()
    if right[:1] == CLOSERS.get(left[-1], left[-1] if left[-1] in cursor.language.quotes else None):
        return True
    if left[-1] == "," and right[:1] in CLOSERS.values() and right:
        return True
    return cursor.left[-1].isspace() and (cursor.right[:1] in ")]}>,;:" or cursor.right[:1].isspace())


def _statement(cursor: Cursor, syntax: Syntax) -> Node | None:
    """The innermost statement that the cursor stands in or behind, if no error touches it on the cursor's line."""
    at, bodies = syntax.byte(cursor.offset), cursor.language.bodies
    node = syntax.leaf(cursor.offset)
    while node.parent is not None and node.parent.type not in bodies:
        if node.is_error or node.is_missing:
            return None
        node = node.parent
    if node.parent is None or node.has_error or node.start_byte >= at:
        return None
    row = syntax.tree.root_node.descendant_for_byte_range(max(0, at - 1), at)
    line = row.start_point.row if row is not None else node.start_point.row
    for sibling in (node.prev_sibling, node.next_sibling):
        if sibling is not None and sibling.has_error and sibling.start_point.row <= line <= sibling.end_point.row:
            return None
    return node


def _ends_here(cursor: Cursor, syntax: Syntax, statement: Node) -> bool:
    """Does the statement end with the cursor's line, or does it go on below as its author wants it to?"""
    at = syntax.byte(cursor.offset)
    if statement.start_byte + len(syntax.code(statement).rstrip().encode("utf-8", "surrogatepass")) <= at:
        return cursor.left[-1] != "="
    if any(node.type in _ANNOTATIONS and node.end_byte == at for node in syntax.around(cursor.offset)):
        return True
    below = line_below(cursor.document, cursor.line)
    if below is None:
        return False
    text, last = cursor.document.line_text(below), cursor.left[-1]
    if last in CLOSERS:
        return text.lstrip()[:1] != CLOSERS[last]
    if last not in ".=" and closes_body(text, cursor.language):
        return True
    first = syntax.text.split("\n")[statement.start_point.row]  # tree-sitter ends lines there alone
    return width(indentation(text)) > width(indentation(first))


def _is_whole_word(cursor: Cursor, syntax: Syntax, statement: Node) -> bool:
    """Is the word before the cursor one that its author is done with? A keyword, a number, a name that is in use."""
    leaf = syntax.leaf(cursor.offset)
    found = _WORD.search(cursor.left)
    if found is None or not leaf.is_named or leaf.type in cursor.language.literals:
        return True
    if not cursor.language.ends_with_value and _NAME_ALONE.fullmatch(syntax.code(statement)):
        return False
    uses = list(islice(_uses(found[0], leaf, syntax), _USES))
    if found[0] in cursor.language.words and (not uses or cursor.left[: found.start()].endswith(".")):
        return not cursor.left[: found.start()].endswith(".")
    only_called = all(syntax.source[use.end_byte : use.end_byte + 1] == b"(" for use in uses)
    return bool(uses) and (not only_called or _is_imported(leaf))


def _uses(word: str, own: Node, syntax: Syntax) -> Iterator[Node]:
    """Where else in the code the word stands as a name."""
    name = word.encode("utf-8", "surrogatepass")
    for match in re.finditer(rb"(?<!\w)" + re.escape(name) + rb"(?!\w)", syntax.source):
        node = syntax.tree.root_node.descendant_for_byte_range(*match.span())
        if node is not None and node.is_named and node.byte_range == match.span() != own.byte_range:
            yield node


def _is_imported(leaf: Node) -> bool:
    node: Node | None = leaf
    while node is not None:
        if _IMPORTS.search(node.type):
            return True
        node = node.parent
    return False
