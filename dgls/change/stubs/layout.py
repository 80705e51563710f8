"""The place for a stub's code: on its own lines, indented like a body there.

Knows offsets and lines; not why something is a stub. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dgls.change.stubs.placeholders import explains
from dgls.code.document import Document, Span
from dgls.code.indentation import indentation, unit, width
from dgls.code.languages import Language


@dataclass(frozen=True, slots=True)
class Stub:
    """`lead`, the missing code and `tail` replace the text in `span`.

    `lead` and `tail` are line breaks with indentation that give the hole its own lines; empty if it has them already.
    `start` is the start of the signature. `indent` is the code's indentation, or None for an expression in the middle
    of a line.
    """

    start: int
    span: Span
    lead: str
    tail: str
    indent: str | None


@dataclass(frozen=True, slots=True)
class Inside:
    """The inside of a body, from `opened`, after its opening token, to `closed`, before its closing one (None without).

    `gone` are placeholders, `kept` the docstring and comments: disjoint spans in text order.
    """

    start: int
    opened: int
    closed: int | None
    gone: Sequence[Span]
    kept: Sequence[Span]


def laid_out(document: Document, language: Language, inside: Inside, offset: int | None = None) -> Stub:
    """The stub for this body. Of several blank lines, the hole takes those up to the cursor at `offset`."""
    text, newline = document.text, document.newline
    above, below = _kept_around(document, inside)
    before = above[-1].end if above else inside.opened
    after = below[0].start if below else inside.closed
    start, end = (inside.gone[0].start, _end(document, inside)) if inside.gone else (before, before)
    outer = indentation(document.line_text(document.line_at(inside.start)))
    if inside.gone and document.line_at(start) > document.line_at(before):
        lead, indent = "", text[document.line_start(document.line_at(start)) : start]
    else:
        start, indent = before, _indent(document, language, above, outer, inside.start)
        lead = newline + indent
    if after is None:
        end = end if inside.gone else _blank_end(document, end, outer, offset)
        tail = ""
    elif document.line_at(after) == document.line_at(end):
        end, tail = after, newline + (indent if below else outer)
    else:
        last = document.line_at(after) - 1
        end, tail = (end if inside.gone else max(end, document.line_end(last))), ""
    if text[end : (line_end := document.line_end(document.line_at(end)))].isspace():
        end = max(end, line_end)
    return Stub(inside.start, Span(start, end), lead, tail, indent)


def below_comment(document: Document, line: int, indent: str) -> Stub:
    """A hole on a new line below `line`, the last line of a comment."""
    end = document.line_end(line)
    return Stub(document.line_start(line), Span(end, end), document.newline + indent, "", indent)


def _kept_around(document: Document, inside: Inside) -> tuple[list[Span], list[Span]]:
    """The kept spans before the placeholders and after them. Without placeholders, all are before."""
    if not inside.gone:
        return list(inside.kept), []
    end = _end(document, inside)
    above = [span for span in inside.kept if span.end <= inside.gone[0].start]
    return above, [span for span in inside.kept if span.start >= end]


def _end(document: Document, inside: Inside) -> int:
    """The end of the placeholders, including comments on the last one's line that explain nothing."""
    end = inside.gone[-1].end
    for span in inside.kept:
        if span.start >= end:
            if document.line_at(span.start) > document.line_at(end) or explains(document.text[span.start : span.end]):
                break
            end = span.end
    return end


def _indent(document: Document, language: Language, above: Sequence[Span], outer: str, start: int) -> str:
    """The indentation of what is kept above, if it begins its line; else one level deeper than the signature."""
    for span in reversed(above):
        left = document.text[document.line_start(document.line_at(span.start)) : span.start]
        if not left.strip():
            return left
    return outer + unit(document, document.line_at(start), language)


def _blank_end(document: Document, offset: int, outer: str, cursor: int | None) -> int:
    """The end of the last blank line below that is indented like a body or has the cursor; `offset` if none is."""
    end, line = offset, document.line_at(offset) + 1
    while line < document.line_count and not (text := document.line_text(line)).strip():
        here = cursor is not None and document.line_at(cursor) >= line
        if not here and width(indentation(text)) <= width(outer):
            break
        end, line = document.line_end(line), line + 1
    return end
