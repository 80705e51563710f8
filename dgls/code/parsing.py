"""tree-sitter's grammars, and parsing that ends.

Where code does not parse, tree-sitter looks for the cheapest repair, and for some texts that are no code its time grows
with the square of their length: 24 kB of `\n/-` take Python's grammar a minute. So a text is tried in small pieces
first, and given up if one of them, or all, take far longer than code does, or if some together take far longer than one
by one. (tree-sitter can call back while it parses, but then its binding 0.26 leaks what it reads.) Pure; grammars are
imported on first use.
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
"""Bytes of a piece. A file of real code, of 10 languages, takes 1 to 4 milliseconds a piece in the mean here, under a
wrong grammar up to 12. Of single pieces the slowest took 19."""
_SECONDS = 0.08
"""Of one piece. Python's case above takes 0.7. Only the thread's computing counts, so that a busy machine does not."""
_SECONDS_EACH = 0.015
"""Of each piece, besides that."""
_SOME_SECONDS = 0.05
"""Of all pieces: some 50 kB of code. What takes less is parsed at once, because its square is bearable."""
_TOGETHER, _MOST_GROWTH = 4, 2.5
"""So many pieces are tried together. That takes code as long as one by one; where time grows with the square, it takes
`_TOGETHER` times as long."""
_SOME_TOGETHER = 0.02
"""Seconds. What takes less together is too short to tell."""
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
    return None if len(source) > PIECE and _is_slow(parser, source) else parser.parse(source)


def _is_slow(parser: Parser, source: bytes) -> bool:
    taken: list[float] = []
    total = 0.0
    for at in range(0, len(source), PIECE):
        taken.append(_seconds(parser, source[at : at + PIECE]))
        total += taken[-1]
        if taken[-1] > _SECONDS or total > _SECONDS + _SECONDS_EACH * len(taken):
            return True
    if total < _SOME_SECONDS:
        return False
    first = min(taken.index(max(taken)), max(0, len(taken) - _TOGETHER))
    several = slice(first, first + _TOGETHER)
    together = _seconds(parser, source[first * PIECE : several.stop * PIECE])
    return together > max(_SOME_TOGETHER, _MOST_GROWTH * sum(taken[several]))


def _seconds(parser: Parser, source: bytes) -> float:
    begun = time.thread_time()
    parser.parse(source)
    return time.thread_time() - begun


def grammar_of(language: Language) -> Grammar | None:
    """None if the language has no grammar, or if its wheel is missing or too old for tree-sitter's core."""
    return _load(*language.grammar) if language.grammar else None


@cache
def _load(module: str, function: str) -> Grammar | None:
    try:
        return Grammar(getattr(importlib.import_module(module), function)())
    except (ImportError, AttributeError, ValueError):
        return None
