"""When an automatic suggestion would annoy, and why: the rules, in the table `RULES`.

The planner applies them before the model runs, except to a request that the user invoked. `suggestion` judges the
model's answer. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

from dgls.code.complete import is_complete
from dgls.code.cursor import Cursor
from dgls.code.document import Document
from dgls.code.indentation import indentation

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


class Quiet(StrEnum):
    """Why nothing is suggested unasked at a cursor."""

    DELETED = "after a deletion"
    GENERATED = "in generated text"
    PROSE = "in prose"
    COMMENT = "in a comment"
    STRING = "in a string"
    WORD = "in the middle of a word"
    COMPLETE = "at complete code"
    SEPARATOR = "between two definitions"
    LANGUAGE = "in a language that the model was not trained on"
    MAGIC = "on a notebook's magic or shell line"


def is_generated(document: Document) -> bool:
    """Does the file's name, or the comment at its top, say that a program writes it?"""
    if _GENERATED_NAME.search(document.uri.lower()):
        return True
    comment = _HEAD_COMMENT.match(document.text.removeprefix("\ufeff"), 0, _HEAD)
    return comment is not None and bool(_GENERATED.search(comment[0]))


def _in_generated_text(cursor: Cursor) -> bool:
    return is_generated(cursor.document) or len(cursor.left) + len(cursor.right) > _LONGEST


def _in_prose(cursor: Cursor) -> bool:
    document = cursor.document
    if document.language in _NOTES and document.uri.lower().endswith(".txt"):
        return True
    return cursor.language.kind == "prose" and cursor.embedded is None


def _between_definitions(cursor: Cursor) -> bool:
    """Is this one of the few blank lines between two definitions? A user who adds more of them wants to write there."""
    if not cursor.on_blank_line or cursor.left or cursor.line_above is None or cursor.line_below is None:
        return False
    after_one = bool(indentation(cursor.above)) or cursor.above.startswith(("}", "end"))
    blank_lines = cursor.line_below - cursor.line_above - 1
    return after_one and not indentation(cursor.below) and blank_lines <= (2 if cursor.language.offside else 1)


def _at_complete_code(cursor: Cursor) -> bool:
    """Does the line end a statement, open a body that is there, or lack nothing?"""
    if cursor.on_blank_line:
        return False
    if cursor.at_line_end and (cursor.left.rstrip().endswith(";") or (cursor.opens_body and cursor.has_body)):
        return True
    return is_complete(cursor)


RULES: tuple[tuple[Quiet, Callable[[Cursor], bool]], ...] = (
    (Quiet.GENERATED, _in_generated_text),
    (Quiet.PROSE, _in_prose),
    (Quiet.COMMENT, lambda cursor: cursor.inside == "comment"),
    (Quiet.STRING, lambda cursor: cursor.inside == "string"),
    (Quiet.WORD, lambda cursor: cursor.in_word),
    (Quiet.SEPARATOR, _between_definitions),
    (Quiet.COMPLETE, _at_complete_code),
)
"""Each reason and when it holds; the first that holds is given. A later rule relies on the earlier ones: `inside` is
right on lines of ordinary length alone, and code is complete or not only outside literals and words."""


def quiet(cursor: Cursor, languages: tuple[str, ...] = ()) -> Quiet | None:
    """Why not to suggest anything here unless the user invokes it; None if nothing speaks against it. `languages`: the
    only ones that the model knows, by their LSP ids; none: all."""
    here = cursor.code_language
    if languages and not {here.id, *here.ids}.intersection(languages):
        return Quiet.LANGUAGE
    return next((reason for reason, applies in RULES if applies(cursor)), None)
