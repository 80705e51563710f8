"""What a selection leaves to be written anew: its lines, less those that are to be kept.

Knows texts and offsets. Pure; runs on any thread.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

from dgls.document import Document, Span
from dgls.errors import NothingToDo


def open_parts(document: Document, span: Span, keep: Collection[int] = ()) -> tuple[Span, ...]:
    """The runs of lines between those to `keep`, each from its first character of code to the end of its last line.

    A selection inside a line is taken as it is, less the whitespace around; one of several lines as whole lines, as who
    drags over lines seldom hits their ends. Raises `NothingToDo` where nothing is left.
    """
    chosen = trimmed(document, Span(max(0, span.start), min(span.end, len(document.text))))
    if chosen is None:
        raise NothingToDo("only blank text is selected; select the code to change")
    first, last = document.line_at(chosen.start), document.line_at(chosen.end - 1)
    if first == last and first not in keep:
        return (Span(chosen.start, chosen.start + len(document.text[chosen.start : chosen.end].rstrip())),)
    runs = [list(run) for kept, run in groupby(range(first, last + 1), key=frozenset(keep).__contains__) if not kept]
    whole = (trimmed(document, Span(document.line_start(run[0]), document.line_end(run[-1]))) for run in runs)
    parts = tuple(part for part in whole if part is not None)
    if not parts:
        raise NothingToDo("all selected lines are to be kept; leave out some of them")
    return parts


def trimmed(document: Document, span: Span) -> Span | None:
    """Without blank text at its start and without blank lines at its end; None if there is nothing else in it."""
    text = document.text[span.start : span.end]
    if not text.strip():
        return None
    last = span.start + len(text.rstrip())
    return Span(span.end - len(text.lstrip()), min(span.end, document.line_end(document.line_at(last - 1))))
