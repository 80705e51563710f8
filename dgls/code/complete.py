"""Is the code at the cursor complete? Then a suggestion would only be in the way.

Complete code parses and looks finished: `total = 1`, but not `total = `, `pri` or `f(a, `. A tree alone cannot tell: a
half-typed name parses too, and so does an open expression that takes in the statement below. So a word must be known, a
statement must be more than a name, and if it continues below the cursor's line, it must be indented deeper there. Where
no tree tells statements apart, the line's last character and brackets do. Pure.
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
_WORD = re.compile(r"(?<!\w)[^\W\d]\w*$")
_IMPORTS = re.compile(r"import|include|^use_|decorator|annotation")
_ANNOTATIONS = frozenset({"decorator", "annotation", "marker_annotation", "attribute_list"})
_USES = 50  # uses of a name that are examined: a name may be everywhere
_NEAR = 20_000  # characters on either side in which a use of a name is looked for
_CLOSED = frozenset(")]}\"'`")
_AFTER = frozenset((*")]}>;:,", *"\"'`", " ", "\t", ""))
"""What may stand right behind a place to fill."""


def is_complete(cursor: Cursor) -> bool:
    """Is nothing missing at the cursor, which is in code on a line that is not blank?"""
    if not cursor.left.strip():
        return not _in_open_bracket(cursor)
    if _is_gap(cursor) or cursor.opens_body:
        return False
    if _goes_on(cursor.right) or (cursor.at_line_end and _separates(cursor)):
        return True
    if cursor.syntax is None or cursor.embedded is not None:
        return _looks_complete(cursor)
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


def _goes_on(right: str) -> bool:
    """Does code follow right behind the cursor, and not only what closes or separates?"""
    return right[:1] not in _AFTER or (right[:1] == ":" and bool(right[1:].strip()))


def _looks_complete(cursor: Cursor) -> bool:
    """Does the line end, or only close, behind something that can end it?"""
    last = cursor.left[-1]
    if is_word(last):
        ends = _is_known(cursor)
    elif cursor.at_line_end:
        ends = last in _CLOSED or _closes_angle(cursor) or _escapes_break(cursor)
    else:
        return not last.isspace() and (last in _CLOSED or (last, cursor.right[0]) == ("/", ">"))
    if not cursor.at_line_end:
        return ends
    deeper = cursor.has_body and not last.isspace()
    return deeper and (ends or not is_word(last)) if cursor.balance.openers else ends or (deeper and not is_word(last))


def _closes_angle(cursor: Cursor) -> bool:
    """Does the line end with the > of a tag or of a type's arguments?"""
    in_markup = cursor.language.kind == "markup" and cursor.left.endswith(">")
    return in_markup or re.search(r"<[^<>]*[^\s<>=-]>+$", cursor.left) is not None


def _separates(cursor: Cursor) -> bool:
    """Does the line end with the comma behind one of several items on lines of their own?"""
    if not cursor.left.endswith(",") or cursor.line_below is None or cursor.balance.openers:
        return False
    return indentation(cursor.below) == indentation(cursor.left) or closes_body(cursor.below, cursor.code_language)


def _escapes_break(cursor: Cursor) -> bool:
    """Does the line end with a backslash, and go on below?"""
    return cursor.left.endswith("\\") and cursor.line_below == cursor.line + 1


def _is_known(cursor: Cursor) -> bool:
    """Is the word before the cursor a number, a constant, or in use nearby, and not alone on its line?"""
    match = _WORD.search(cursor.left)
    if match is None or match[0].lower() in cursor.code_language.literals:
        return True
    if cursor.at_line_end and _NAME_ALONE.fullmatch(cursor.left.strip()):
        return False
    text, start = cursor.document.text, cursor.offset - len(match[0])
    near = re.compile(rf"(?<!\w){re.escape(match[0])}(?!\w)(?!\()")
    uses = near.finditer(text, max(0, start - _NEAR), cursor.offset + _NEAR)
    return any(use.start() != start for use in uses)


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
    if last == ")" and cursor.below.lstrip().startswith("{"):
        return True
    if any(node.type in _ANNOTATIONS and node.end_byte == cursor.byte for node in cursor.nodes):
        return True
    if cursor.line_below is None:
        return False
    if last in CLOSERS:
        return cursor.below.lstrip()[:1] != CLOSERS[last]
    if last not in ".=" and closes_body(cursor.below, cursor.language):
        return True
    if last in ".=":
        return cursor.has_body
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
