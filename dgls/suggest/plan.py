"""From a cursor to the region around it, or the reason to stay quiet.

    above | before |span| after | below        before, span, after: the region, in the canvas; above, below: the prompt

The fill replaces `span`; `before` and `after` are pinned. For any text and offset, the five parts join to the document.
Lines and indentation decide. The tree, if there is one, tells strings and comments from code, and arguments from
bodies. Pure; runs on any thread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dgls.code.cursor import Cursor
from dgls.code.document import Document, Span
from dgls.code.indentation import indentation
from dgls.code.syntax import Syntax
from dgls.code.window import CountTokens, after_end, before_start, estimate_tokens
from dgls.suggest.beginnings import avoided, beginnings
from dgls.suggest.quiet import Quiet as Quiet
from dgls.suggest.quiet import quiet
from dgls_engine.profile import Profile
from dgls_engine.types import Beginning

Kind = Literal["line", "block"]

LINE_TOKENS, BLOCK_TOKENS, BLOCK_LINES = 32, 64, 12
"""The default size of a hole."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits in tokens of the hole and of the pinned code around it; `block_lines` limits a block's lines, and with one
    line there are no blocks. `languages`: the only ones with suggestions unasked; none: all.

    `continues`: the model writes on after the hole. Unasked it then fills lines only, the indentation of a body's first
    line is pinned, and a block has a least indentation, below which it ends."""

    before_tokens: int = 96
    after_tokens: int = 64
    line_tokens: int = LINE_TOKENS
    block_tokens: int = BLOCK_TOKENS
    block_lines: int = BLOCK_LINES
    continues: bool = False
    languages: tuple[str, ...] = ()

    @classmethod
    def of(cls, profile: Profile, max_tokens: int = BLOCK_TOKENS, max_lines: int = BLOCK_LINES) -> Budget:
        """The budget of a model's canvas, within the limits that the user sets."""
        hole = min(max_tokens, profile.hole_tokens)
        return cls(
            *profile.around_tokens, min(hole, LINE_TOKENS), hole, max_lines, profile.continues, profile.languages
        )


@dataclass(frozen=True, slots=True)
class Region:
    """A region of the document of `version`: the text `before` and `after` the `span` to fill, which starts at the
    cursor. `above` and `below` are the rest of the document.

    `indents` are the indentations that the fill's first line of code may have, the likeliest first. The fill ends
    before the first `stop`, unless that is None, and has at most `max_lines` lines. `lead` comes before the fill, which
    begins in one of the ways `begins`, if there are any, and not with one of the tokens `avoid`. The fill ends before a
    line that is indented less than `least_indent`.
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
    lead: str = ""
    least_indent: str = ""
    begins: tuple[Beginning, ...] = ()
    avoid: tuple[str, ...] = ()

    def in_text(self, text: str) -> Region:
        """The same region in another text of the document's length."""
        start, end = self.span.start - len(self.before), self.span.end + len(self.after)
        before, after = text[start : self.span.start], text[self.span.end : end]
        return replace(self, above=text[:start], before=before, after=after, below=text[end:])


def plan(
    document: Document,
    offset: int,
    budget: Budget,
    syntax: Syntax | None = None,
    *,
    invoked: bool = False,
    deleted: bool = False,
    max_lines: int | None = None,
    count: CountTokens = estimate_tokens,
) -> Region | Quiet:
    """The region around `offset` (clamped to the text).

    `syntax` is the tree around `offset`, or None. If the user asked for a suggestion (`invoked`), the result is always
    a region. If the last edit deleted text here (`deleted`), the planner stays quiet. `max_lines` overrides the choice
    of line or block. `count` counts the tokens of `before` and `after` for their budgets.
    """
    cursor = Cursor.at(document, offset, syntax)
    reason = None if invoked else Quiet.DELETED if deleted else quiet(cursor, budget.languages)
    if reason is not None:
        return reason
    most_lines = max_lines or (1 if budget.continues and not invoked else budget.block_lines)
    kind = "line" if most_lines == 1 else _kind(cursor) if max_lines is None else "block"
    span = cursor.span
    start = before_start(document, span.start, cursor.language, budget.before_tokens, count)
    end = after_end(document, span.end, cursor.language, budget.after_tokens, count)
    text = document.text
    lead = _missing_indent(cursor) if budget.continues else ""
    begins = beginnings(cursor, cursor.left + lead) if budget.continues and kind == "line" else ()
    return Region(
        version=document.version,
        span=span,
        above=text[:start],
        before=text[start : span.start],
        after=text[span.end : end],
        below=text[end:],
        kind=kind,
        stop="\n" if kind == "line" else None,
        indents=tuple(cursor.left + lead + each.indent for each in begins) or _indents(cursor),
        max_tokens=budget.line_tokens if kind == "line" else budget.block_tokens,
        max_lines=1 if kind == "line" else most_lines,
        lead=lead,
        least_indent=_least_indent(cursor) if budget.continues and kind == "block" else "",
        begins=begins,
        avoid=avoided(cursor) if budget.continues else (),
    )


def _kind(cursor: Cursor) -> Kind:
    """A block after the opening of a body, after `;` and on a blank line in a body; otherwise a line."""
    if cursor.on_blank_line:
        several = _in_body(cursor)
    else:
        after_statement = cursor.at_line_end and cursor.left.rstrip().endswith(";")
        several = cursor.opens_body or after_statement
    return "block" if several else "line"


def _in_body(cursor: Cursor) -> bool:
    if cursor.syntax is not None and cursor.parses:
        innermost = cursor.nodes[0]
        if innermost.type in cursor.language.bodies and innermost != cursor.syntax.tree.root_node:
            return True
        if cursor.syntax.source.startswith((b"(", b"["), innermost.start_byte):
            return False
    return bool(cursor.first_indents[0])


def _indents(cursor: Cursor) -> tuple[str, ...]:
    if cursor.on_blank_line:
        return cursor.first_indents
    indent = indentation(cursor.left)
    return (indent + cursor.unit if cursor.opens_body else indent,)


def _least_indent(cursor: Cursor) -> str:
    """That of the lines of the cursor's body. Where a bracket may have to close the body, that of the bracket."""
    return _indents(cursor)[0] if cursor.on_blank_line or cursor.language.offside else indentation(cursor.left)


def _missing_indent(cursor: Cursor) -> str:
    """What the user has not typed yet of the indentation of a body's first line. A model that continues the code before
    the hole writes the next function after a docstring; other indentations it finds better than the planner."""
    likeliest = _indents(cursor)[0]
    code = cursor.on_blank_line and cursor.inside == "code"
    fits = code and cursor.starts_body and likeliest.startswith(cursor.left)
    return likeliest[len(cursor.left) :] if fits else ""
