"""Would an edit break code that parses?

The tree of the code around tells in most cases. Where that window was cut so that it doesn't parse itself, the whole
file is asked, if it isn't too long. Python's own parser has the last word on Python, whose grammar for tree-sitter
takes much that Python does not. Pure.
"""

from __future__ import annotations

import ast
import warnings

from dgls.document import Document, Span
from dgls.region.syntax import Syntax, parse_all

_LONGEST = 100_000  # characters of a file that are parsed at once: some tens of milliseconds


def breaks(document: Document, span: Span, new_text: str, syntax: Syntax) -> bool:
    """Did the code around `span` parse, and does it no longer with `new_text` there?"""
    short = len(document.text) <= _LONGEST
    if short and syntax.tree.root_node.has_error and len(syntax.text) < len(document.text):
        syntax = parse_all(document) or syntax
    if syntax.breaks(span, new_text):
        return True
    if syntax.language.id != "python" or not short:
        return False
    filled = document.text[: span.start] + new_text + document.text[span.end :]
    return not _is_python(filled) and _is_python(document.text)


def _is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the user's own code, as for "\d"
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
