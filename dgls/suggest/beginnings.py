"""How the code on a blank line may begin, so that it can stand between the lines around it.

In a language in which indentation alone ends a body, a line that is indented like the line below cannot open a body,
and a line above a deeper one has to. So the indentation and the first word depend on each other. Lines decide; the tree
tells that the cursor is not inside brackets. Pure.
"""

from __future__ import annotations

from dgls.code.brackets import balance
from dgls.code.cursor import Cursor
from dgls.code.indentation import indentation, levels, line_below, width
from dgls_engine.types import Beginning


def beginnings(cursor: Cursor, typed: str) -> tuple[Beginning, ...]:
    """The ways to begin behind the blanks `typed`; none if any way may be right."""
    if not cursor.on_blank_line or cursor.line_below is None or not _between_statements(cursor):
        return ()
    language = cursor.language
    plain, opening = language.heads, language.heads | language.soft_heads
    return tuple(
        Beginning(indent[len(typed) :], opening if opens else plain, others=not opens)
        for indent, opens in _lines(cursor)
        if indent.startswith(typed)
    )


def _lines(cursor: Cursor) -> list[tuple[str, bool]]:
    """The indentations that the line may have, and whether it then opens a body."""
    above, below = indentation(cursor.above), indentation(cursor.below)
    unit = cursor.unit
    outer = below.removesuffix(unit) if below.endswith(unit) else None
    if cursor.above_opens_body:
        body = above + unit
        return [(body, width(below) > width(body))]
    if width(below) > width(above):
        enclosing = list(levels(cursor.document, cursor.line_above)) if cursor.line_above is not None else []
        return [(outer, True)] if outer is not None and outer in enclosing and not _closes_brackets(cursor) else []
    if not cursor.parses or cursor.line_above is None:
        return []
    inner = [level for level in levels(cursor.document, cursor.line_above) if width(level) > width(below)]
    return [*((level, False) for level in (*inner, below)), *([(outer, True)] if outer is not None else [])]


def _between_statements(cursor: Cursor) -> bool:
    """Is the cursor in a language with heads of bodies, and inside neither brackets nor a string?"""
    if not cursor.language.heads or cursor.syntax is None or cursor.inside != "code":
        return False
    if balance(cursor.above, cursor.language).openers or cursor.above.endswith("\\"):
        return False
    for node in cursor.nodes:
        if node.type in cursor.language.bodies:
            break
        if cursor.syntax.source.startswith((b"(", b"[", b"{"), node.start_byte):
            return False
    return True


def _closes_brackets(cursor: Cursor) -> bool:
    """Do the deeper lines below close a bracket that would have to be opened here?"""
    deeper: list[str] = []
    at = cursor.line_below
    while at is not None:
        text = cursor.document.line_text(at)
        deeper.append(text)
        if width(indentation(text)) <= width(indentation(cursor.above)):
            break
        at = line_below(cursor.document, at)
    return bool(balance("\n".join(deeper), cursor.language).closers)
