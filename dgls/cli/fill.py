"""`dgls fill`: bodies for functions that are stubs; one, or all of a file together."""

from __future__ import annotations

from argparse import Namespace

from dgls.change.stubs.finding import stubs_in
from dgls.change.task import Action, Task
from dgls.cli.acting import PIPED, Change, UnusableOptions, act, conclude, line_span, read
from dgls.cli.infill import offset_of
from dgls.cli.targets import Place, Target
from dgls.code.document import Document, Span
from dgls.code.indentation import indentation


def run(options: Namespace) -> int:
    place: Place = options.target or options.piped
    if options.all and place.line is not None:
        raise UnusableOptions("--all fills the whole file; leave the line or --all out")
    source, document = read(place.path, options)
    piped = place.path == PIPED
    if place.line is not None:
        offset = _offset(document, place.line, place.column)
        return act(Task(Action.FILL, Span(offset, offset)), source, document, piped, options)
    stubs = [document.line_at(stub.start) + 1 for stub in stubs_in(document)]
    if not stubs:
        return conclude(Change(document.text), source, document, piped, options)
    if len(stubs) > 1 and not options.all:
        *most, last = map(str, stubs)
        raise UnusableOptions(
            f"{document.uri} has {len(stubs)} stubs, on lines {', '.join(most)} and {last}; "
            f"name one ({place.path}:{last}), or take --all"
        )
    return act(Task(Action.FILL_ALL, Span(0, len(document.text))), source, document, piped, options)


def _offset(document: Document, line: int, column: int | None) -> int:
    """Without a column, that of the line's first character of code. Raises `DglsError` if there is no such place."""
    if column is not None:
        return offset_of(document, Target(document.uri, line, column))
    span = line_span(document, line, line)
    return span.start + len(indentation(document.text[span.start : span.end]))
