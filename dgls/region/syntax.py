"""A parsed text: which nodes lie around an offset, and does it parse.

tree-sitter counts UTF-8 bytes; everything that goes in or comes out here counts code points. A parse that takes
longer than its budget is given up and None returned, as it is for a language without a grammar: callers then go by
lines and indentation. Pure but for the clock; grammars are imported on first use.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Tree

from dgls.region.languages import Language


@dataclass(frozen=True, slots=True)
class Syntax:
    """A text and its tree. `source` is the text in UTF-8; lone surrogates take three bytes."""

    text: str
    source: bytes
    tree: Tree

    @property
    def has_error(self) -> bool:
        return self.tree.root_node.has_error

    def around(self, offset: int) -> Iterator[Node]:
        """The nodes that hold the character before `offset`, innermost first; the root alone at the start."""
        end = self.byte(offset)
        start = self.byte(offset - 1) if offset else 0
        node = self.tree.root_node.named_descendant_for_byte_range(start, end)
        while node is not None:
            yield node
            node = node.parent

    def byte(self, offset: int) -> int:
        """The byte at which the code point at `offset` starts."""
        if len(self.source) == len(self.text):
            return offset
        return len(self.text[:offset].encode("utf-8", "surrogatepass"))


def parse(text: str, language: Language, budget_ms: float, previous: Syntax | None = None) -> Syntax | None:
    """Parse `text`, reusing what it shares with `previous` (of the same language); None past `budget_ms`."""
    grammar = grammar_of(language)
    if grammar is None:
        return None
    if previous is not None and previous.text == text:
        return previous
    source = text.encode("utf-8", "surrogatepass")
    view = memoryview(source)
    deadline = time.perf_counter() + budget_ms / 1000

    def read(at: int, _point: object) -> memoryview:
        return view[at:]

    def late(_at: int, _error: bool) -> bool:
        return time.perf_counter() > deadline

    parser = Parser(grammar)
    try:
        if previous is None:
            tree = parser.parse(read, progress_callback=late)
        else:
            tree = parser.parse(read, _edited(previous, source), progress_callback=late)
    except ValueError:  # how the binding says that the callback stopped it
        return None
    return Syntax(text, source, tree)


def grammar_of(language: Language) -> Grammar | None:
    """The language's grammar; None without one, or where its wheel is missing or too old for tree-sitter's core."""
    return _load(*language.grammar) if language.grammar else None


@cache
def _load(module: str, function: str) -> Grammar | None:
    try:
        return Grammar(getattr(importlib.import_module(module), function)())
    except (ImportError, AttributeError, ValueError):
        return None


def _edited(previous: Syntax, source: bytes) -> Tree:
    """A copy of the previous tree, told which one stretch of bytes has changed."""
    old = previous.source
    start = _common_prefix(old, source)
    tail = _common_suffix(old[start:], source[start:])
    tree = previous.tree.copy()
    old_end, new_end = len(old) - tail, len(source) - tail
    tree.edit(
        start,
        old_end,
        new_end,
        _point(old, start),
        _point(old, old_end),
        _point(source, new_end),
    )
    return tree


def _point(source: bytes, at: int) -> tuple[int, int]:
    """Row and column of a byte, both in tree-sitter's terms."""
    return source.count(b"\n", 0, at), at - (source.rfind(b"\n", 0, at) + 1)


def _common_prefix(left: bytes, right: bytes) -> int:
    """By bisection: comparing slices is far faster than a loop over bytes."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_suffix(left: bytes, right: bytes) -> int:
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[len(left) - middle : len(left) - low] == right[len(right) - middle : len(right) - low]:
            low = middle
        else:
            high = middle - 1
    return low
