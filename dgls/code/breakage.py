"""Would an edit break code that parses?

In most cases the tree around the edit tells. For Python, Python's own parser reads the few statements around it, too,
because tree-sitter's grammar accepts code that Python rejects. If these statements do not parse by themselves, even
without the line being typed, they were cut in the wrong place: then the whole file is parsed, if it is not too long.
Pure.
"""

from __future__ import annotations

import ast
import codeop
import re
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Query, QueryCursor

from dgls.code.document import Document, Span
from dgls.code.languages import language_of
from dgls.code.parsing import grammar_of, parsed
from dgls.code.statement import Statements, statements_around
from dgls.code.syntax import Syntax, parse_all

_UNPAIRED = re.compile(r"^unmatched|does not match opening")
_OPEN = "was never closed"
_INCOMPLETE = codeop.PyCF_ALLOW_INCOMPLETE_INPUT  # type: ignore[attr-defined]  # missing in the stubs
_HAS_FSTRING = re.compile(r"(?i:\b(?:f|rf|fr)[\"'])")
_LONGEST = 100_000  # characters of a file that is parsed whole, which takes tens of milliseconds


@dataclass(frozen=True)
class Breakage:
    """Judges edits of one span of a document by the `syntax` around it. What they share is computed once."""

    document: Document
    span: Span
    syntax: Syntax

    def by(self, new_text: str) -> bool:
        """Does the code around the span parse now, but not with `new_text` in place of the span?"""
        if self._python is not None:
            if self._syntax_is_whole and self.syntax.breaks(self.span, new_text):
                return True
            if self._parses(self._python.text(new_text)):
                return False
            if self._was_sound:
                return True
            if self._was_unfinished:
                return _is_beyond_repair(self._python.until(new_text))
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
        """Does the code parse without the line being typed? Then the edit may leave that line unfinished."""
        assert self._python is not None
        return self._parses(self._python.without_edited_lines())

    @cached_property
    def _syntax_is_whole(self) -> bool:
        """Is the tree free of errors that the borders of its window may have caused?"""
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
        """By both parsers: each accepts code that the other rejects."""
        tree = parsed(self.syntax.language, text.encode("utf-8", "surrogatepass"))
        return tree is not None and not tree.root_node.has_error and _is_python(text)


def _is_beyond_repair(text: str) -> bool:
    """Is there an error that nothing behind the last line removes, and no more text on this line?"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "", "exec", ast.PyCF_ONLY_AST | _INCOMPLETE)
        except IndentationError:
            return True
        except SyntaxError as error:
            above = error.lineno is not None and error.lineno < text.count("\n")
            return _UNPAIRED.search(error.msg) is not None or (above and _OPEN not in error.msg)
        except (ValueError, RecursionError, MemoryError):
            return False
    return False


def _is_python(text: str) -> bool:
    if _ast_parses(text):
        return True
    return (
        sys.version_info < (3, 12) and _HAS_FSTRING.search(text) is not None and _ast_parses(_with_plain_fstrings(text))
    )


def _ast_parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the user's code, such as "\d"
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _with_plain_fstrings(text: str) -> str:
    """The text with a number in place of each string inside an f-string: there, Python before 3.12 takes a quote for
    the f-string's own."""
    language = language_of("python")
    source = bytearray(text.encode("utf-8", "surrogatepass"))
    grammar, tree = grammar_of(language), parsed(language, bytes(source))
    if grammar is None or tree is None:
        return text
    strings = QueryCursor(Query(grammar, "(string) @string")).captures(tree.root_node).get("string", [])
    outer_end = inner_end = 0
    for node in sorted(strings, key=lambda node: node.start_byte):
        if node.start_byte >= outer_end:
            outer_end = node.end_byte
        elif node.start_byte >= inner_end:
            inner_end = node.end_byte
            source[node.start_byte : inner_end] = b"0".ljust(inner_end - node.start_byte)
    return source.decode("utf-8", "surrogatepass")
