"""Choose where to cut a hole into a file: one function for each kind of hole. Each draws from a random generator.

A hole lies in code that parses, never in comments or docstrings. It starts and ends at code, not at blanks, so that the
line around it looks as it does while a person types. Pure; reads no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tree_sitter import Node

from dgls.code.document import Document, Span
from dgls.code.languages import Language, language_of
from dgls.code.parsing import parsed

SHORTEST, LONGEST_LINE = 4, 90
"""Fewest characters of code in a hole (in a word: `_SHORTEST_WORD`); most in the line around a one-line hole."""
_SHORTEST_WORD = 3
_LINES = range(2, 9)
_SPAN_LINES = 4
_MOST_PROSE = 1 / 3  # of a hole's lines
_TRIES = 8
_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Code:
    """A parsed file. `lines` maps numbers of pure code lines to the spans of their code.

    `prose` are the numbers of lines with comments or multi-line strings, `broken` those of lines that do not parse.
    """

    document: Document
    language: Language
    root: Node
    lines: dict[int, Span]
    prose: frozenset[int]
    broken: frozenset[int]

    @classmethod
    def parse(cls, text: str, language_id: str) -> Code | None:
        """None without a grammar, or if tree-sitter and `Document` count the lines of `text` differently."""
        language = language_of(language_id)
        tree = parsed(language, text.encode())
        if tree is None or text.count("\r") != text.count("\r\n"):
            return None
        root = tree.root_node
        document = Document("", 0, language_id, text)
        prose = frozenset(_prose(root, language))
        broken = frozenset(row for node in root.children if node.has_error for row in _rows(node))
        lines = {
            row: span
            for row in range(document.line_count)
            if row not in prose and row not in broken and (span := _code(document, row)) is not None
        }
        return cls(document, language, root, lines, prose, broken)

    def text(self, span: Span) -> str:
        return self.document.text[span.start : span.end]

    def offset(self, row: int, column: int) -> int:
        """The offset of a tree-sitter position, whose column counts bytes."""
        line = self.document.line_text(row)
        return self.document.line_start(row) + (
            column if line.isascii() else len(line.encode()[:column].decode("utf-8", "ignore"))
        )

    def leaf(self, span: Span) -> Node | None:
        """The leaf node that covers exactly `span`."""
        row = self.document.line_at(span.start)
        before = self.document.text[self.document.line_start(row) : span.start]
        start = len(before.encode())
        end = start + len(self.text(span).encode())
        node = self.root.named_descendant_for_point_range((row, start), (row, end))
        if node is None or node.child_count or (node.start_point.column, node.end_point.column) != (start, end):
            return None
        return node


def single_line(code: Code, rng: Random) -> Span | None:
    """The code of a line or, half of the time, its rest from the edge of a word or sign inside it."""
    lines = [span for span in code.lines.values() if span.end - span.start <= LONGEST_LINE]
    if not lines:
        return None
    line = rng.choice(lines)
    if rng.random() < 0.5:
        return line
    starts = list(edges(code, line, line.end - SHORTEST))
    return Span(rng.choice(starts), line.end) if starts else None


def edges(code: Code, line: Span, last: int) -> Iterator[int]:
    """Offsets up to `last` where a hole may start inside a line: not within a word, nor at the line's start."""
    text = code.document.text
    for at in range(line.start + 1, last + 1):
        if not (_is_word(text[at - 1]) and _is_word(text[at])) and len(text[at : line.end].strip()) >= SHORTEST:
            yield at


def multi_line(code: Code, rng: Random) -> Span | None:
    """One or more consecutive statements, up to a whole body, on 2 to 8 lines that hold nothing else."""
    bodies = [body for body in _bodies(code.root, code.language) if body.named_child_count]
    for _ in range(_TRIES if bodies else 0):
        runs = list(_runs(code, rng.choice(bodies)))
        if runs:
            return rng.choice(runs)
    return None


def random_span(code: Code, rng: Random) -> Span | None:
    """From any character of code to any other, on the same line or up to three lines below."""
    rows = list(code.lines)
    for _ in range(_TRIES if rows else 0):
        first = rng.choice(rows)
        last = first + rng.randrange(_SPAN_LINES)
        if last not in code.lines or not code.prose.isdisjoint(range(first, last)):
            continue
        ends = code.lines[first], code.lines[last]
        span = Span(rng.randrange(ends[0].start, ends[0].end), rng.randint(ends[1].start + 1, ends[1].end))
        if span.start < span.end and len(code.text(span).strip()) >= SHORTEST:
            return span
    return None


def mid_word(code: Code, rng: Random) -> Span | None:
    """From inside a name to its end or, half of the time, to the end of the line."""
    rows = [row for row, span in code.lines.items() if span.end - span.start <= LONGEST_LINE]
    for _ in range(_TRIES if rows else 0):
        line = code.lines[rng.choice(rows)]
        words = [word for word in _WORD.finditer(code.document.text, line.start, line.end) if _is_long(word)]
        if not words:
            continue
        word = Span(*rng.choice(words).span())
        if (leaf := code.leaf(word)) is not None and leaf.type != code.text(word).lower():  # not True, None, self
            start = rng.randint(word.start + 1, word.end - 2)
            return Span(start, line.end if rng.random() < 0.5 else word.end)
    return None


def _is_long(word: re.Match[str]) -> bool:
    return len(word[0]) >= _SHORTEST_WORD


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _code(document: Document, row: int) -> Span | None:
    """The span of a line's text without outer blanks, or None if it is too short for a hole."""
    line = document.line_text(row)
    code = line.strip()
    if len(code) < SHORTEST or not any(map(str.isalpha, code)):
        return None
    start = document.line_start(row) + line.index(code)
    return Span(start, start + len(code))


def _prose(root: Node, language: Language) -> Iterator[int]:
    """The rows of comments, docstrings and multi-line strings."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.type in language.comments or _is_docstring(node):
            yield from _rows(node)
        elif node.start_point.row != node.end_point.row or node.type in language.bodies:
            if node.type in language.strings and node.type != "jsx_text":
                yield from _rows(node)
            else:
                waiting += node.children


def _is_docstring(node: Node) -> bool:
    """Whether `node` is an expression statement that is only a string."""
    return (
        node.type == "expression_statement" and node.named_child_count == 1 and node.named_children[0].type == "string"
    )


def _rows(node: Node) -> range:
    """The rows of `node`. A node that includes a line break ends at column 0 of the next row, which does not count."""
    last = node.end_point.row - (node.end_point.column == 0 and node.end_point.row > node.start_point.row)
    return range(node.start_point.row, last + 1)


def _bodies(root: Node, language: Language) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if len(_rows(node)) >= _LINES.start:
            if node.type in language.bodies:
                yield node
            waiting += node.named_children


def _runs(code: Code, body: Node) -> Iterator[Span]:
    """The runs of consecutive children that span enough lines and share no line with other code."""
    children = body.named_children
    for index, first in enumerate(children):
        for last in children[index:]:
            rows = range(first.start_point.row, _rows(last).stop)
            if len(rows) not in _LINES:
                if len(rows) >= _LINES.stop:
                    break
                continue
            start = code.offset(first.start_point.row, first.start_point.column)
            end = code.document.line_end(rows[-1])
            span = Span(start, start + len(code.document.text[start:end].rstrip()))
            if _stands_alone(code, span, last) and _is_mostly_code(code, rows):
                yield span


def _stands_alone(code: Code, span: Span, last: Node) -> bool:
    row = last.end_point.row
    ends = code.offset(row, last.end_point.column)
    start = code.document.line_start(code.document.line_at(span.start))
    return not code.document.text[start : span.start].strip() and ends >= span.end


def _is_mostly_code(code: Code, rows: range) -> bool:
    prose = sum(row in code.prose for row in rows)
    return rows[0] in code.lines and prose <= _MOST_PROSE * len(rows) and code.broken.isdisjoint(rows)
