"""The parts of a selection to rewrite: all of it except the lines to keep.

Knows texts and offsets. Pure; runs on any thread.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

from dgls.code.document import Document, Span
from dgls.errors import NothingToDo


def open_parts(document: Document, span: Span, keep: Collection[int] = ()) -> tuple[Span, ...]:
    """The selected text between the lines to `keep`, each part from its first character of code to its last.

    A part includes the blanks after it if they end the line, and never code outside of the selection. Raises
    `NothingToDo` if no part is left.
    """
    chosen = trimmed(document, Span(max(0, span.start), min(span.end, len(document.text))))
    if chosen is None:
        raise NothingToDo("only blank text is selected; select the code to change")
    lines = range(document.line_at(chosen.start), document.line_at(chosen.end - 1) + 1)
    runs = [list(run) for kept, run in groupby(lines, key=frozenset(keep).__contains__) if not kept]
    parts = tuple(part for run in runs if (part := _of_lines(document, chosen, run[0], run[-1])) is not None)
    if not parts:
        raise NothingToDo("all selected lines are to be kept; keep fewer lines")
    return parts


def _of_lines(document: Document, chosen: Span, first: int, last: int) -> Span | None:
    """The selected part of these lines; None if it is blank."""
    start, end = max(chosen.start, document.line_start(first)), min(chosen.end, document.line_end(last))
    code = document.text[start:end]
    if not code.strip():
        return None
    start, end = start + len(code) - len(code.lstrip()), start + len(code.rstrip())
    line_end = document.line_end(document.line_at(end - 1))
    return Span(start, end if document.text[end:line_end].strip() else line_end)


def trimmed(document: Document, span: Span) -> Span | None:
    """`span` without blank text at its start and blank lines at its end; None if all of it is blank."""
    text = document.text[span.start : span.end]
    if not text.strip():
        return None
    last = span.start + len(text.rstrip())
    return Span(span.end - len(text.lstrip()), min(span.end, document.line_end(document.line_at(last - 1))))
