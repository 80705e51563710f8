"""Would an edit break code that parses?

The tree of the code around tells in most cases; of Python the few statements around, too, by Python's own parser: its
grammar for tree-sitter takes much that Python does not. Where neither parses by itself, and not for what is being
typed, it was cut in the wrong place: then the whole file is asked, if it isn't too long. Pure.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Parser

from dgls.code.document import Document, Span
from dgls.code.statement import Statements, statements_around
from dgls.code.syntax import Syntax, grammar_of, parse_all

_LONGEST = (
    100_000  # characters of a file that are parsed at once, where nothing less will do: some tens of milliseconds
)


@dataclass(frozen=True)
class Breakage:
    """Judges edits of one span of a document by the `syntax` around it; what they have in common is found once."""

    document: Document
    span: Span
    syntax: Syntax

    def by(self, new_text: str) -> bool:
        """Did the code around the span parse, and does it no longer with `new_text` there?"""
        if self._python is not None:
            if self._syntax_is_whole and self.syntax.breaks(self.span, new_text):
                return True
            if self._parses(self._python.text(new_text)):
                return False
            if self._was_sound:
                return True
            if self._was_unfinished:
                return False
        if self._widest.breaks(self.span, new_text):
            return True
        return self._was_python and not _is_python(self._filled(new_text))

    @cached_property
    def _python(self) -> Statements | None:
        is_python = self.syntax.language.id == "python"
        return statements_around(self.document, self.span, self.syntax) if is_python else None

    @cached_property
    def _was_sound(self) -> bool:
        assert self._python is not None
        return self._parses(self._python.text(self.document.text[self.span.start : self.span.end]))

    @cached_property
    def _was_unfinished(self) -> bool:
        """Was it the line being typed that did not parse? There is nothing to break then."""
        assert self._python is not None
        return self._parses(self._python.without_own_line())

    @cached_property
    def _syntax_is_whole(self) -> bool:
        """Is no error in the tree that its borders may have made?"""
        return len(self.syntax.text) == len(self.document.text) or not self.syntax.tree.root_node.has_error

    @cached_property
    def _widest(self) -> Syntax:
        if self._syntax_is_whole or len(self.document.text) > _LONGEST:
            return self.syntax
        return parse_all(self.document) or self.syntax

    @cached_property
    def _was_python(self) -> bool:
        short = len(self.document.text) <= _LONGEST
        return short and self.syntax.language.id == "python" and _is_python(self.document.text)

    def _filled(self, new_text: str) -> str:
        return self.document.text[: self.span.start] + new_text + self.document.text[self.span.end :]

    def _parses(self, text: str) -> bool:
        """By both grammars: neither takes all that the other does."""
        grammar = grammar_of(self.syntax.language)
        assert grammar is not None, "there is a tree"
        if Parser(grammar).parse(text.encode("utf-8", "surrogatepass")).root_node.has_error:
            return False
        return _is_python(text)


def _is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the user's own code, as for "\d"
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
