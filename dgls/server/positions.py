"""Converts between offsets in a document and LSP positions. Pure."""

from __future__ import annotations

from lsprotocol import types

from dgls.code.document import Document, Position, PositionEncoding, Span


def range_of(document: Document, span: Span, encoding: PositionEncoding) -> types.Range:
    start, end = document.position(span.start, encoding), document.position(span.end, encoding)
    return types.Range(types.Position(start.line, start.character), types.Position(end.line, end.character))


def position_of(position: types.Position) -> Position:
    return Position(position.line, position.character)
