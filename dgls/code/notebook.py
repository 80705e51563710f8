"""A notebook's cell among the other cells, as one document.

The planner reads the cells of one language as a file: joined, with blank lines between them. What would break parsing
is masked there: magics and shell lines, and other cells that do not parse. A mask has as many characters as what it
covers, so offsets agree, and the model is shown the text as it was written. Knows neither LSP nor which cells there
are. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from dgls.code.document import Document, Span
from dgls.code.languages import language_of
from dgls.code.parsing import grammar_of
from dgls.code.syntax import WINDOW_TOKENS, parse_all

_MAGIC = re.compile(
    r"^[ \t]*+(?:[\w., \t\[\]]++=[ \t]*+(?=[%!]))?"
    r"(?=%%?[^\W\d]|!(?!=)|\?|[\w.*]++\?\??[ \t\r]*+$)",  # %magic, !shell, ?name, name?
    re.MULTILINE,
)
_CELL_MAGIC = re.compile(r"\s*+%%(\w+|!)")
_INDENTED = re.compile(r"(?:[ \t]*+(?:#[^\r\n]*+)?[\r\n])*+[ \t]++[^\s#]")
_OF_PYTHON = frozenset({"capture", "debug", "lprun", "memit", "mprun", "prun", "time", "timeit"})
"""The cell magics that run the cell as a part of the notebook's program."""
_LONGEST = 50_000  # characters of a cell that is parsed, in a few milliseconds
REACH = 4 * WINDOW_TOKENS
"""Characters on either side that the parser may see in a window. Cells further away are not masked."""


@dataclass(frozen=True, slots=True)
class Part:
    """A document in a view, where its text starts at `start`."""

    document: Document
    start: int

    def own(self, span: Span) -> Span:
        """A span of the view, in the document's own text."""
        return Span(span.start - self.start, span.end - self.start)

    def seen(self, span: Span) -> Span:
        """A span of the document, in the view."""
        return Span(span.start + self.start, span.end + self.start)


@dataclass(frozen=True, slots=True)
class View:
    """What the planner reads for a document. `document` has its URI, version and language, and the text of the cells
    around it; `written` is that text without masks. `parts` are the documents whose text this is, in order. The
    document's own text starts at `start`. A `foreign` cell is written in another language than the notebook's."""

    document: Document
    written: str
    parts: tuple[Part, ...]
    start: int = 0
    foreign: bool = False

    @classmethod
    def of_file(cls, document: Document) -> View:
        return cls(document, document.text, (Part(document, 0),))

    def part_at(self, offset: int) -> Part:
        return next(part for part in reversed(self.parts) if part.start <= offset)

    def part_of(self, uri: str) -> Part | None:
        return next((part for part in self.parts if part.document.uri == uri), None)

    def is_magic(self, offset: int) -> bool:
        """Is the line at this offset of the view none of the notebook's program?"""
        line = self.document.line_at(offset)
        start, end = self.document.line_start(line), self.document.line_end(line)
        return self.foreign or self.document.text[start:end] != self.written[start:end]

    def own(self, span: Span) -> Span:
        """A span of the view, in the document's own text."""
        return Span(span.start - self.start, span.end - self.start)


@dataclass(frozen=True)
class Neighbour:
    """A cell as other cells see it."""

    document: Document

    @cached_property
    def masked(self) -> str:
        """The text as the parser reads it: blank if it does not parse, because it would hide the code below, or would
        be read as the end of the code above."""
        masked = mask(self.document)
        language = language_of(self.document.language, self.document.uri)
        short = len(masked) <= _LONGEST and grammar_of(language) is not None
        syntax = parse_all(self.document.with_text(masked)) if short else None
        unsound = short and (syntax is None or syntax.tree.root_node.has_error)
        broken = unsound or continues(self.document)
        return re.sub(r"[^\r\n]", " ", masked) if broken else masked


def view_of(
    cell: Document, above: Sequence[Neighbour] = (), below: Sequence[Neighbour] = (), reach: int = REACH
) -> View:
    """The cell among the code cells above and below it. It sees those of its own language."""
    if (language := foreign_language(cell)) is not None:
        return View(replace(cell, language=language), cell.text, (Part(cell, 0),), foreign=True)
    before, after = ([each for each in cells if _joins(each.document, cell)] for cells in (above, below))
    gap = 3 * cell.newline  # two blank lines: a new cell ends the definition above
    masked = gap.join([*reversed([*_masked(reversed(before), reach)]), mask(cell), *_masked(iter(after), reach)])
    documents = [*(each.document for each in before), cell, *(each.document for each in after)]
    starts = accumulate((len(each.text) + len(gap) for each in documents), initial=0)
    parts = tuple(Part(each, start) for each, start in zip(documents, starts, strict=False))
    document = Document(cell.uri, cell.version, cell.language, masked)
    return View(document, gap.join(each.text for each in documents), parts, parts[len(before)].start)


def continues(cell: Document) -> bool:
    """Whether the first line is indented, so that it would be read as the end of the cell above. IPython dedents it."""
    return language_of(cell.language).id == "python" and _INDENTED.match(cell.text) is not None


def _masked(nearest_first: Iterator[Neighbour], reach: int) -> Iterator[str]:
    seen = 0
    for each in nearest_first:
        yield each.masked if seen < reach else each.document.text
        seen += len(each.document.text)


def notebook_of(uri: str) -> str | None:
    """The notebook's URI in the URI of a cell, for the scheme that VS Code gives to cells; None for any other. That of
    a notebook without a file is its name."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "vscode-notebook-cell":
        return None
    path = re.split("[?#]", rest, maxsplit=1)[0]
    return f"file://{path}" if path.startswith("/") and not path.startswith("//") else path


def mask(document: Document) -> str:
    """The text of a cell with a number in place of each magic and shell command, and a comment behind it. Only Python
    notebooks have these."""
    text = document.text
    if language_of(document.language).id != "python":
        return text
    masked = list(text)
    for match in _MAGIC.finditer(text):
        at = match.end()
        if text[at + 1 : at + 2] in tuple("\"'\\"):  # of a string, if this line is inside one
            masked[at] = "#"
        else:
            masked[at : at + 2] = ["0", *("#" if char not in "\r\n" else char for char in text[at + 1 : at + 2])]
        line = document.line_at(at)
        while document.line_text(line).endswith("\\") and line + 1 < document.line_count:
            line += 1
            text_of_line = document.line_text(line)
            if text_of_line:
                masked[document.line_end(line) - max(1, len(text_of_line.lstrip()))] = "#"
    return "".join(masked)


def foreign_language(cell: Document) -> str | None:
    """The language of a cell that a magic on its first line hands to another program."""
    magic = _CELL_MAGIC.match(cell.text) if language_of(cell.language).id == "python" else None
    return None if magic is None or magic[1] in _OF_PYTHON else magic[1].replace("!", "shellscript").lower()


def _joins(other: Document, cell: Document) -> bool:
    return other.language == cell.language and foreign_language(other) is None
