"""tree-sitter's grammars, and parsing that ends.

Where code does not parse, tree-sitter looks for the cheapest repair, and for some texts that are no code its time grows
with the square of their length: 24 kB of `\n/-` take Python's grammar a minute. So a text is tried in small pieces
first, and given up if one of them takes far longer than code does. (tree-sitter can call back while it parses, but then
its binding 0.26 leaks what it reads.) Pure; grammars are imported on first use.
"""

from __future__ import annotations

import importlib
import re
import time
from functools import cache

from tree_sitter import Language as Grammar
from tree_sitter import Parser, Tree

from dgls.code.languages import Language

PIECE = 3_000
"""Bytes of a piece. In 5,500 pieces of half this size, of 14 languages, real code took 1 millisecond in the mean here,
and at most 12, where a comment was cut."""
_SECONDS = 0.08
"""Of the thread's computing, so that a busy machine does not count. Python's case above takes 0.7 for a piece."""
_SURROGATE, _REPLACEMENT = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]"), "\ufffd".encode()
"""tree-sitter's scanners know no lone surrogates, and Lua's takes seconds for them. Both have three bytes."""


def parsed(language: Language, source: bytes, old: Tree | None = None) -> Tree | None:
    """The tree of UTF-8 text. With an `old` tree in which at most a `PIECE` was edited, what they share is reused. None
    without a grammar, or if the text would take too long: it is no code."""
    grammar = grammar_of(language)
    if grammar is None:
        return None
    source, parser = _SURROGATE.sub(_REPLACEMENT, source), Parser(grammar)
    if old is not None:
        return parser.parse(source, old)
    pieces = (source[at : at + PIECE] for at in range(0, len(source), PIECE)) if len(source) > PIECE else ()
    return None if any(_is_slow(parser, piece) for piece in pieces) else parser.parse(source)


def _is_slow(parser: Parser, piece: bytes) -> bool:
    begun = time.thread_time()
    parser.parse(piece)
    return time.thread_time() - begun > _SECONDS


def grammar_of(language: Language) -> Grammar | None:
    """None if the language has no grammar, or if its wheel is missing or too old for tree-sitter's core."""
    return _load(*language.grammar) if language.grammar else None


@cache
def _load(module: str, function: str) -> Grammar | None:
    try:
        return Grammar(getattr(importlib.import_module(module), function)())
    except (ImportError, AttributeError, ValueError):
        return None
