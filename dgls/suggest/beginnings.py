"""How the code on a blank line may begin, so that it can stand between the lines around it.

In a language in which indentation alone ends a body, a line that is indented like the line below cannot open a body,
nor leave it, and a line above a deeper one has to open one. So the indentation and the first word depend on each other.
Lines decide; the tree tells that the cursor is not inside brackets. In no language does a small model help by a comment
of its own. Pure.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from dgls.code.brackets import balance
from dgls.code.cursor import Cursor
from dgls.code.indentation import closes_body, enclosing, ends_body, indentation, line_below, width
from dgls.code.names import missing_names
from dgls_engine.types import Beginning

_BINDINGS = ("{} =", "{}=", "{},", "{}:")
_BINDING_HEADS = ("for {}", "def {}", "class {}", "async", "with", "except")
"""How a line begins that defines a name, or, where a definition may stand, with "def" an argument."""

_APART = re.compile(r"\s*(#|@|class\b)")
"""Lines behind which a definition may stand without a blank line."""

_FAR = 60
"""The number of lines that are examined for the end of a statement."""

_ON_ITS_OWN = re.compile(r"(case|default|function|class|async)\b")
"""How a line may begin that does not run after the line above it, in languages with brackets."""


def avoided(cursor: Cursor) -> tuple[str, ...]:
    """The tokens with which code on a blank line does not begin: those of a comment, and, where brackets end bodies,
    those that leave a body in front of its next line."""
    if not cursor.on_blank_line:
        return ()
    comments = cursor.language.comment_tokens
    return (*comments, *sorted(cursor.language.enders)) if _runs_on(cursor) else comments


def beginnings(cursor: Cursor, typed: str) -> tuple[Beginning, ...]:
    """The ways to begin behind the blanks `typed`; none if any way may be right."""
    if not (cursor.language.heads and cursor.on_blank_line and _between_statements(cursor)):
        return ()
    lines = [line for line in _lines(cursor) if line.indent.startswith(typed)]
    missing = _missing(cursor, lines) if cursor.language.id == "python" else []
    return tuple(line.beginning(cursor, missing, len(typed)) for line in lines)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that may stand at the cursor: the `head` of a body, or one that is `followed` by another in its body, or
    one that may be the last."""

    indent: str
    head: bool = False
    followed: bool = False

    def beginning(self, cursor: Cursor, missing: Sequence[str], typed: int) -> Beginning:
        """Behind `typed` characters of the line. It defines one of the names that are `missing`, if there are any."""
        language, indent = cursor.language, self.indent[typed:]
        if missing:
            forms = _BINDING_HEADS if self.head else _BINDINGS
            words = {form.format(name) for form in forms for name in missing}
            in_function = _in_function(cursor, self.indent)
            if self.head:
                words |= {"def"} if _is_apart(cursor) and not in_function else set()
            elif in_function:
                words |= {f"import {name}" for name in missing if name in sys.stdlib_module_names}
            else:
                words |= {"import", "from"}
            return Beginning(indent, frozenset(words), others=False)
        if self.head:
            return Beginning(indent, language.heads | language.soft_heads, others=False)
        return Beginning(indent, language.heads | language.enders if self.followed else language.heads)


def _lines(cursor: Cursor) -> list[_Line]:
    above, below, unit = indentation(cursor.above), indentation(cursor.below), cursor.unit
    last, continued = cursor.line_below is None, _closes_brackets(cursor)
    if cursor.above_opens_body:
        body = above + unit
        if continued:
            return []
        return [_Line(body, head=not last and width(below) > width(body), followed=not last and below == body)]
    if cursor.line_above is None or continued:
        return []
    around = {indentation(text): text for text in enclosing(cursor.document, cursor.line_above)}
    outer = below.removesuffix(unit) if below.endswith(unit) else None
    if not last and width(below) > width(above):
        return [_Line(outer, head=True)] if outer in around else []
    if not cursor.parses:
        return []
    lines = [_Line(level) for level in around if last or width(level) > width(below)]
    if not last and not closes_body(cursor.below, cursor.language):
        lines.append(_Line(below, followed=True))
        if outer is not None:
            lines.append(_Line(outer, head=True))
    return [line for line in lines if not _is_out_of_place(cursor, line.indent, around.get(line.indent, ""))]


def _missing(cursor: Cursor, lines: Sequence[_Line]) -> list[str]:
    """The names that the code below uses and nothing defines."""
    if not lines:
        return []
    document, span = cursor.document, cursor.span
    before = document.text[: document.line_start(cursor.line)]
    stand_in = f"{lines[0].indent}{'if 1:' if lines[0].head else 'pass'}"
    return missing_names(before, stand_in, document.text[span.end :])


def _in_function(cursor: Cursor, indent: str) -> bool:
    """Is a function the innermost definition around a line with this `indent`?"""
    around = enclosing(cursor.document, cursor.line_above) if cursor.line_above is not None else ()
    outer = (text.lstrip() for text in around if width(indentation(text)) < width(indent))
    definitions = (text for text in outer if re.match(cursor.language.definition, text))
    return not next(definitions, "class").startswith("class")


def _is_apart(cursor: Cursor) -> bool:
    """May a definition stand behind the line above?"""
    above = cursor.line_above
    return above is None or above < cursor.line - 1 or _APART.match(cursor.above) is not None


def _is_out_of_place(cursor: Cursor, indent: str, head: str) -> bool:
    """Would a line with this `indent` stand behind a statement that ends its body, or too near behind the body of the
    definition `head`?"""
    assert cursor.line_above is not None
    if indent == indentation(cursor.above):
        return ends_body(cursor.above)
    blank_lines = cursor.line - cursor.line_above - 1
    return re.match(cursor.language.definition, head.lstrip()) is not None and blank_lines < (1 if indent else 2)


def _runs_on(cursor: Cursor) -> bool:
    """Does the line below run after a line that is written here, in a language in which brackets end bodies?"""
    if cursor.language.heads or not (cursor.below and _between_statements(cursor) and cursor.parses):
        return False
    alone = closes_body(cursor.below, cursor.language) or _ON_ITS_OWN.match(cursor.below.lstrip())
    return not alone and indentation(cursor.below) == cursor.first_indents[0]


def _between_statements(cursor: Cursor) -> bool:
    """Is the cursor in code, between statements, and inside neither brackets nor a string?"""
    if cursor.language.kind != "code" or cursor.syntax is None or cursor.inside != "code":
        return False
    if not cursor.above_opens_body and not _ends_statement(cursor):
        return False
    for node in cursor.nodes:
        if node.type in cursor.language.bodies:
            break
        if cursor.syntax.source.startswith((b"(", b"[", b"{"), node.start_byte):
            return False
    return True


def _ends_statement(cursor: Cursor) -> bool:
    """Does the line above end a statement, as far as it tells?"""
    above = cursor.above.rstrip()
    if balance(above, cursor.language).openers or above.endswith(("\\", ",")):
        return False
    return cursor.language.offside or not above or above.endswith((";", "{", "}"))


def _closes_brackets(cursor: Cursor) -> bool:
    """Do the lines below close a bracket that would have to be opened here?"""
    lines: list[str] = []
    at = cursor.line_below
    while at is not None and len(lines) < _FAR:
        lines.append(cursor.document.line_text(at))
        if width(indentation(lines[-1])) < width(indentation(cursor.below)):
            break
        at = line_below(cursor.document, at)
    return bool(balance("\n".join(lines), cursor.language).closers)
