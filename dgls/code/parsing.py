"""tree-sitter's grammars, and parsing that ends.

Where code does not parse, tree-sitter looks for the cheapest repair, and for some texts that are no code its time grows
with the square of their length: 24 kB of `\\n/-` take Python's grammar a minute. So each parse has a limit, which grows
with the text and is some ten times what real code takes here, with an unclosed bracket in it, too. Pure; grammars are
imported on first use.
"""

from __future__ import annotations

import importlib
import re
import time
from functools import cache

from tree_sitter import Language as Grammar
from tree_sitter import Parser, Point, Tree

from dgls.code.languages import Language

_SECONDS, _SECONDS_A_BYTE = 0.05, 5e-6
"""Of the thread's computing, so that a busy machine does not count."""
_CHUNK = 1 << 14
_SURROGATE, _REPLACEMENT = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]"), "\ufffd".encode()
"""tree-sitter's scanners know no lone surrogates, and Lua's takes seconds for them. Both have three bytes."""


def parsed(language: Language, source: bytes, old: Tree | None = None) -> Tree | None:
    """The tree of UTF-8 text, reusing what it shares with an `old` tree that was edited. None without a grammar, or if
    it takes too long: such a text is no code."""
    grammar = grammar_of(language)
    if grammar is None:
        return None
    source = _SURROGATE.sub(_REPLACEMENT, source)
    parser, end = Parser(grammar), time.thread_time() + _SECONDS + _SECONDS_A_BYTE * len(source)

    def read(offset: int, _: Point) -> bytes:
        return source[offset : offset + _CHUNK]

    def late(_: int, __: bool) -> bool:
        return time.thread_time() > end

    try:
        if old is None:
            return parser.parse(read, progress_callback=late)
        return parser.parse(read, old, progress_callback=late)
    except ValueError:  # it was stopped
        return None


def grammar_of(language: Language) -> Grammar | None:
    """None if the language has no grammar, or if its wheel is missing or too old for tree-sitter's core."""
    return _load(*language.grammar) if language.grammar else None


@cache
def _load(module: str, function: str) -> Grammar | None:
    try:
        return Grammar(getattr(importlib.import_module(module), function)())
    except (ImportError, AttributeError, ValueError):
        return None
