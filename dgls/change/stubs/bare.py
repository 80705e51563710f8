"""Stubs where there is no tree: a placeholder is all that a body has, as lines and indentation tell.

Without a tree nobody can tell an empty body from an empty list, so a body needs at least a placeholder. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from dgls.change.stubs.layout import Inside, Stub, laid_out
from dgls.change.stubs.placeholders import does_nothing, is_comment, refuses, says_todo, says_what
from dgls.code.document import Document, Span
from dgls.code.indentation import closes_body, indentation, line_above, line_below, opens_body, width
from dgls.code.languages import Language


def bare_stub_at(document: Document, language: Language, offset: int) -> Stub | None:
    """The stub on the cursor's line, or right below it, if that is where a body begins."""
    line = document.line_at(offset)
    found = _stub(document, language, line)
    below = line_below(document, line)
    if found is None and below is not None and opens_body(document.line_text(line), language):
        found = _stub(document, language, below)
    return found


def bare_stubs_in(document: Document, language: Language) -> Iterator[Stub]:
    """Only where a placeholder says that code is missing."""
    line = 0
    while line < document.line_count:
        found = _stub(document, language, line) if _says_so(document.line_text(line), language) else None
        if found is not None:
            yield found
            line = document.line_at(found.span.end)
        line += 1


def _stub(document: Document, language: Language, line: int) -> Stub | None:
    """The body that `line` is in, if it has nothing but placeholders and comments."""
    indent = indentation(document.line_text(line))
    if not document.line_text(line).strip():
        return None
    first, head = line, line_above(document, line)
    while head is not None and _is_part(document.line_text(head), indent, language):
        first, head = head, line_above(document, head)
    if head is None or not opens_body(text := document.line_text(head), language):
        return None
    if width(indentation(text)) >= width(indent):
        return None
    gone: list[Span] = []
    kept: list[Span] = []
    at: int | None = first
    while at is not None and _is_part(document.line_text(at), indent, language):
        span = Span(document.line_start(at) + len(indent), document.line_end(at))
        code = document.text[span.start : span.end]
        (kept if is_comment(code) and (says_what(code) or not says_todo(code)) else gone).append(span)
        at = line_below(document, at)
    if not gone or (at is not None and not _ends(document.line_text(at), indent, language)):
        return None
    start = document.line_start(head) + len(indentation(text))
    return laid_out(document, language, Inside(start, document.line_end(head), None, gone, kept))


def _is_part(text: str, indent: str, language: Language) -> bool:
    code = text[len(indent) :]
    placeholder = does_nothing(code, language) or refuses(code, language) or is_comment(code)
    return indentation(text) == indent and placeholder and bool(code)


def _ends(text: str, indent: str, language: Language) -> bool:
    return width(indentation(text)) < width(indent) or (indentation(text) == indent and closes_body(text, language))


def _says_so(text: str, language: Language) -> bool:
    code = text.strip()
    if is_comment(code):
        return says_todo(code) and not says_what(code)
    return refuses(code, language)
