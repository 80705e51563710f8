"""Find stubs without a syntax tree, by lines and indentation: bodies of nothing but placeholders and comments.

A stub needs at least one placeholder here, because an empty body looks like an empty list. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from dgls.change.stubs.layout import Inside, Stub, laid_out
from dgls.change.stubs.placeholders import does_nothing, is_comment, refuses, says_todo, says_what
from dgls.code.document import Document, Span
from dgls.code.indentation import closes_body, indentation, line_above, line_below, opens_body, width
from dgls.code.languages import Language


def bare_stub_at(document: Document, language: Language, offset: int) -> Stub | None:
    """The stub on the cursor's line, or in the body that begins right below it."""
    line = document.line_at(offset)
    stub = _stub(document, language, line)
    below = line_below(document, line)
    if stub is None and below is not None and opens_body(document.line_text(line), language):
        stub = _stub(document, language, below)
    return stub


def bare_stubs_in(document: Document, language: Language) -> Iterator[Stub]:
    """The stubs whose placeholders say that code is missing."""
    line = 0
    while line < document.line_count:
        stub = _stub(document, language, line) if _says_so(document.line_text(line), language) else None
        if stub is not None:
            yield stub
            line = document.line_at(stub.span.end)
        line += 1


def _stub(document: Document, language: Language, line: int) -> Stub | None:
    """The stub around `line`: a body of nothing but placeholders and comments."""
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
