"""From a cursor to the region the engine fills, or the reason to stay quiet.

    above | before |span| after | below        before and after: pinned in the canvas; above and below: the prompt

Whatever the text and the offset, the five parts joined are the document. Lines and indentation decide; the tree,
where there is one, tells strings and comments from code and arguments from bodies. Pure; runs on any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dgls.document import Document, Span
from dgls.region.brackets import balance
from dgls.region.indentation import body_is_empty, first_indents, indentation, opens_body, unit
from dgls.region.languages import Language, language_of
from dgls.region.syntax import Syntax
from dgls.region.window import CountTokens, after_end, before_start, estimate_tokens
from engine.profile import Profile

Kind = Literal["line", "block"]

LINE_TOKENS, BLOCK_TOKENS, BLOCK_LINES = 32, 64, 12
"""How long a hole is where nobody says otherwise."""

_SCANNED = 2000  # characters of a line that are scanned for an open quote; only generated lines are longer
_CLOSING = frozenset(")]}>\"'`;:, \t")


class Quiet(StrEnum):
    """Why no automatic completion is due at a cursor."""

    COMMENT = "in a comment"
    STRING = "in a string"
    WORD = "in the middle of a word"
    COMPLETE = "after a complete statement"


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens: of pinned code on either side of the hole, and of the hole; `block_lines` bounds a block's lines."""

    before_tokens: int = 96
    after_tokens: int = 64
    line_tokens: int = LINE_TOKENS
    block_tokens: int = BLOCK_TOKENS
    block_lines: int = BLOCK_LINES

    @classmethod
    def of(cls, profile: Profile, max_tokens: int = BLOCK_TOKENS, max_lines: int = BLOCK_LINES) -> Budget:
        """What a model's canvas has room for, within what the user allows a fill."""
        hole = min(max_tokens, profile.hole_tokens)
        return cls(profile.before_tokens, profile.after_tokens, min(hole, LINE_TOKENS), hole, max_lines)


@dataclass(frozen=True, slots=True)
class Region:
    """What to fill (`span`, offsets in the document of `version`; `span.start` is the cursor) and what stands around.

    `indents` are the indentations that the fill's first line of code may have, the likeliest first. The fill ends
    before the first `stop`, if there is one, and has `max_lines` at most.
    """

    version: int
    span: Span
    above: str
    before: str
    after: str
    below: str
    kind: Kind
    stop: str | None
    indents: tuple[str, ...]
    max_tokens: int
    max_lines: int


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where the cursor stands; `left` and `right` are its line's text, without the break."""

    document: Document
    language: Language
    offset: int
    line: int
    left: str
    right: str

    @property
    def on_blank_line(self) -> bool:
        return not self.left.strip() and not self.right.strip()

    @property
    def span(self) -> Span:
        """What the fill replaces: nothing, or the whitespace that ends a blank line."""
        return Span(self.offset, self.offset + (len(self.right) if self.on_blank_line else 0))

    @property
    def closed_on_the_right(self) -> bool:
        return _CLOSING.issuperset(self.right)

    @property
    def opens_body(self) -> bool:
        return self.closed_on_the_right and opens_body(self.left, self.language)


def plan(
    document: Document,
    offset: int,
    budget: Budget,
    syntax: Syntax | None = None,
    *,
    invoked: bool = False,
    max_lines: int | None = None,
    count: CountTokens = estimate_tokens,
) -> Region | Quiet:
    """The region around `offset` (clamped to the text).

    `syntax` is the tree around `offset`, or None. `invoked`: the user asked, so there is no reason to be quiet.
    `max_lines` overrides the choice of line or block. `count` counts tokens; `before` and `after` keep to their
    budgets as it counts.
    """
    assert syntax is None or document.text.startswith(syntax.text, syntax.start), "the tree belongs to another text"
    cursor = _cursor(document, min(max(0, offset), len(document.text)))
    quiet = None if invoked else _quiet(cursor, syntax)
    if quiet is not None:
        return quiet
    kind = _kind(cursor, syntax) if max_lines is None else "line" if max_lines == 1 else "block"
    span = cursor.span
    start = before_start(document, span.start, cursor.language, budget.before_tokens, count)
    end = after_end(document, span.end, cursor.language, budget.after_tokens, count)
    text = document.text
    return Region(
        version=document.version,
        span=span,
        above=text[:start],
        before=text[start : span.start],
        after=text[span.end : end],
        below=text[end:],
        kind=kind,
        stop="\n" if kind == "line" else None,
        indents=_indents(cursor),
        max_tokens=budget.line_tokens if kind == "line" else budget.block_tokens,
        max_lines=1 if kind == "line" else max_lines or budget.block_lines,
    )


def _cursor(document: Document, offset: int) -> _Cursor:
    line = document.line_at(offset)
    end = document.line_end(line)
    offset = min(offset, end)  # never between \r and \n
    left, right = document.text[document.line_start(line) : offset], document.text[offset:end]
    return _Cursor(document, language_of(document.language, document.uri), offset, line, left, right)


def _quiet(cursor: _Cursor, syntax: Syntax | None) -> Quiet | None:
    literal = _literal(cursor, syntax)
    if literal is not None:
        return literal
    if _is_word(cursor.left[-1:]) and _is_word(cursor.right[:1]):
        return Quiet.WORD
    if not cursor.right.strip() and (
        cursor.left.rstrip().endswith(";") or (cursor.opens_body and not body_is_empty(cursor.document, cursor.line))
    ):
        return Quiet.COMPLETE
    return None


def _literal(cursor: _Cursor, syntax: Syntax | None) -> Quiet | None:
    """Is the cursor inside a comment or string? The tree knows, except on a line that is being typed."""
    if syntax is not None:
        found = _literal_node(cursor, syntax)
        if found is not None or not syntax.has_error(cursor.span):
            return found if isinstance(found, Quiet) else None
    open_at_cursor = balance(cursor.left[-_SCANNED:], cursor.language)
    if open_at_cursor.comment:
        return Quiet.COMMENT
    return Quiet.STRING if open_at_cursor.quote else None


def _literal_node(cursor: _Cursor, syntax: Syntax) -> Quiet | Literal["code"] | None:
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


def _kind(cursor: _Cursor, syntax: Syntax | None) -> Kind:
    """An empty body or a blank line in one may fill several lines, everything else one."""
    if cursor.on_blank_line:
        return "block" if _in_body(cursor, syntax) else "line"
    after_statement = not cursor.right.strip() and cursor.left.rstrip().endswith(";")
    return "block" if cursor.opens_body or after_statement else "line"


def _in_body(cursor: _Cursor, syntax: Syntax | None) -> bool:
    if syntax is not None and not syntax.has_error(cursor.span):
        innermost = next(syntax.around(cursor.offset))
        if innermost.type in cursor.language.bodies and innermost.parent is not None:
            return True
        if syntax.source[innermost.start_byte : innermost.start_byte + 1] in (b"(", b"["):
            return False
    return bool(first_indents(cursor.document, cursor.line, cursor.left, cursor.language)[0])


def _indents(cursor: _Cursor) -> tuple[str, ...]:
    if cursor.on_blank_line:
        return first_indents(cursor.document, cursor.line, cursor.left, cursor.language)
    own = indentation(cursor.left)
    if cursor.opens_body:
        return (own + unit(cursor.document, cursor.line, cursor.language),)
    return (own,)


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"
