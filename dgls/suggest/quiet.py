"""When an automatic suggestion would annoy, and why.

Answers for a cursor alone, before the model is asked; what becomes of its answer is `suggestion`'s affair. An invoked
request is never quiet, so it does not ask here. Pure.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal

from dgls.code.brackets import balance
from dgls.code.complete import is_complete
from dgls.code.cursor import Cursor
from dgls.code.document import Document
from dgls.code.indentation import body_is_empty, indentation, line_above, line_below, width
from dgls.code.syntax import Syntax

_SCANNED = 2000  # characters of a line that are scanned for an open quote; only generated lines are longer
_LONGEST = 1000  # characters of a line that a person writes
_HEAD = 1000  # characters at a file's top in which its generator says so, in a comment
_HEAD_COMMENT = re.compile(r"(\s*(/\*.*?(\*/|\Z)|<!--.*?(-->|\Z)|(#|//|--|;|%|<\?)[^\n]*))*", re.DOTALL)
_GENERATED = re.compile(
    r"@generated\b"
    r"|\b(auto)?generated\b.{0,200}\bdo not (hand[- ])?(edit|modify|change)\b(?! this line)"
    r"|\bdo not (hand[- ])?(edit|modify|change)\b(?! this line).{0,200}\b(is|was|auto|automatically)[- ]?generated\b"
    r"|\b(file|code|module) (is|was|has been) (auto|automatically)[- ]?generated\b"
    r"|^\W*(auto|automatically)[- ]?generated (by|from|with)\b",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_GENERATED_NAME = re.compile(r"\.min\.(js|css)$|\.map$")
_NOTES = frozenset({"plaintext", "text"})
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)


class Quiet(StrEnum):
    """Why no automatic completion is due at a cursor."""

    DELETED = "after a deletion"
    GENERATED = "in generated text"
    PROSE = "in prose"
    COMMENT = "in a comment"
    STRING = "in a string"
    WORD = "in the middle of a word"
    COMPLETE = "at complete code"
    SEPARATOR = "between two definitions"


def quiet(cursor: Cursor, syntax: Syntax | None) -> Quiet | None:
    """The reason not to suggest anything here unasked; None: there is none."""
    if is_generated(cursor.document) or len(cursor.left) + len(cursor.right) > _LONGEST:
        return Quiet.GENERATED
    if _in_prose(cursor):
        return Quiet.PROSE
    literal = _literal(cursor, syntax)
    if literal is not None:
        return literal
    if cursor.in_word:
        return Quiet.WORD
    if cursor.on_blank_line:
        return Quiet.SEPARATOR if _parts_definitions(cursor) else None
    if _ends_complete(cursor) or is_complete(cursor, syntax):
        return Quiet.COMPLETE
    return None


def is_generated(document: Document) -> bool:
    """Does the file's name or the comment at its top say that a program writes it?"""
    if _GENERATED_NAME.search(document.uri.lower()):
        return True
    comment = _HEAD_COMMENT.match(document.text.removeprefix("\ufeff"), 0, _HEAD)
    return comment is not None and bool(_GENERATED.search(comment[0]))


def _in_prose(cursor: Cursor) -> bool:
    document = cursor.document
    if document.language in _NOTES and document.uri.lower().endswith(".txt"):
        return True
    return cursor.language.prose and len(_FENCE.findall(document.text[: cursor.offset])) % 2 == 0


def _parts_definitions(cursor: Cursor) -> bool:
    """Is this one of the few blank lines that part two definitions? More of them were opened to write on."""
    document, line = cursor.document, cursor.line
    above, below = line_above(document, line), line_below(document, line)
    if cursor.left or above is None or below is None:
        return False
    upper, lower = document.line_text(above), document.line_text(below)
    ends_one = width(indentation(upper)) > 0 or upper.startswith(("}", "end"))
    return ends_one and not indentation(lower) and below - above - 1 <= (2 if cursor.language.offside else 1)


def _ends_complete(cursor: Cursor) -> bool:
    """Does the line end a statement, or open a body that is there?"""
    if cursor.right.strip():
        return False
    return cursor.left.rstrip().endswith(";") or (cursor.opens_body and not body_is_empty(cursor.document, cursor.line))


def _literal(cursor: Cursor, syntax: Syntax | None) -> Quiet | None:
    """Is the cursor inside a comment or string? The tree knows, except on a line that is being typed."""
    if syntax is not None:
        found = _literal_node(cursor, syntax)
        if found is not None or not syntax.has_error(cursor.span):
            return found if isinstance(found, Quiet) else None
    open_at_cursor = balance(cursor.left[-_SCANNED:], cursor.language)
    if open_at_cursor.comment:
        return Quiet.COMMENT
    return Quiet.STRING if open_at_cursor.quote else None


def _literal_node(cursor: Cursor, syntax: Syntax) -> Quiet | Literal["code"] | None:
    language = cursor.language
    at = syntax.byte(cursor.offset)
    for node in syntax.around(cursor.offset):
        if node.type in language.interpolations:
            return "code"
        if node.type in language.strings and node.start_byte < at < node.end_byte and syntax.is_sure_of(node):
            return Quiet.STRING
        if node.type in language.comments and node.start_byte < at and syntax.is_sure_of(node):
            marker = language.line_comment
            to_line_end = marker is not None and syntax.source.startswith(marker.encode(), node.start_byte)
            same_line = b"\n" not in syntax.source[node.start_byte : at]
            if same_line if to_line_end else at < node.end_byte:
                return Quiet.COMMENT
    return None
