"""Guess from a document's lines whether it holds stubs, for callers that cannot wait for a tree. Pure.

Yes wherever `dgls.change.stubs.finding.stubs_in` finds stubs in code as people write it, and sometimes without any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgls.change.stubs.placeholders import declares_only, is_comment, is_placeholder, is_value
from dgls.code.document import Document
from dgls.code.indentation import closes_body, indentation, line_above, line_below, width
from dgls.code.languages import Language, language_of

# Each pattern begins with plain letters, because `re` searches for these many times faster.
_EVERYWHERE = (
    "TODO",
    "FIXME",
    "XXX",
    '"todo',
    "ode (?:goes )?here",
    r"mplement(?:ed(?:(?<=ot implemented)|(?<=ot Implemented)|(?<=ot yet implemented)|(?<=ot_implemented)"
    r"|(?<=otImplemented)(?=E)|(?<=nimplemented)|(?<=e implemented))| me\b| this\b|ation goes here)",
    "OT IMPLEMENTED",
)
_BRACES = re.compile(r"\{\s*+(?:[;:]\s*+|true\s*+;?\s*+)?\}(?<![=(,:\[>$]\{\})(?<![=(,:\[>] \{\})")
_END = re.compile(r"(?:def |function\b)[^\r\n;]*+(?:\s*+--[^\r\n]*+)*+[\s;]*+(?:nil\s*+)?end\b")
_INDENTED = re.compile(
    r":[ \t]*+(?:#[^\r\n]*+)?(?:"
    # then nothing, code without indentation, or another definition
    r"(?:\r?\n[ \t]*+(?=[\r\n]))*+(?:\r?\n(?=\S|[ \t]++(?:def|class|async|@))|\s*\Z)"
    # or a docstring, and nothing as deep below
    r"|\r?\n([ \t]++)[rR]?(?:\"\"\"(?:[^\"\\]++|\\.|\"(?!\"\"))*+\"\"\"|'''(?:[^'\\]++|\\.|'(?!''))*+''')"
    r"[ \t]*+(?:#[^\r\n]*+)?(?:\r?\n[ \t]*+(?=[\r\n]))*+(?:\r?\n(?!\1)|\s*\Z))",
    re.DOTALL,
)
_CLAUSE = re.compile(r"\s*(?:class|except|if|elif|else|for|while|with|try|finally|case|Traceback)\b")
_COMMENT = re.compile(r"(?<=\S)\s+(?:#|//|--|/\*).*")
_OPENED = re.compile(r"[{:>;)]\s*")
_CLOSED = re.compile(r"[\s;}]*(?:\bend)?\s*$")
_MOST_LINES = 100  # candidate lines checked in vain; then the answer is yes and the tree decides


def hints_at_stubs(document: Document) -> bool:
    """Whether the document may hold stubs. Takes 2 to 4 ms for 10,000 lines without any, less with some."""
    language = language_of(document.language, document.uri)
    if declares_only(document.uri) or language.kind != "code":
        return False
    for looked, line in enumerate(_lines(document, *_EVERYWHERE, *language.placeholders.hints)):
        if looked == _MOST_LINES or _is_all(document, language, line):
            return True
    if language.offside:
        return any(_is_bare(document, match) for match in _INDENTED.finditer(document.text))
    empty = _END if closes_body("end", language) else _BRACES
    return language.grammar is not None and empty.search(document.text) is not None


def _lines(document: Document, *patterns: str) -> Iterator[int]:
    for pattern in patterns:
        for match in re.finditer(pattern, document.text):
            yield document.line_at(match.start())


def _is_all(document: Document, language: Language, line: int) -> bool:
    """Whether the placeholder on this line is all that the body around it has."""
    text = _COMMENT.sub("", document.line_text(line))
    if not is_placeholder(text, language):
        ends = (_CLOSED.sub("", text[match.end() :]) for match in _OPENED.finditer(text))
        return any(end.strip() and is_placeholder(end, language) for end in ends)
    above = line_above(document, line)
    if above is not None:
        head = document.line_text(above)
        if language.offside and _CLAUSE.match(head):
            return False
        deep = width(indentation(head)) >= width(indentation(text))
        if deep and not (is_comment(head) or is_placeholder(head, language) or head.rstrip().endswith(('"', "'"))):
            return False
    return _ends(document, line, language)


def _is_bare(document: Document, match: re.Match[str]) -> bool:
    """Whether the function at `match` has no more than a head or a docstring."""
    line = document.line_at(match.start())
    text, below = document.line_text(line), line_below(document, line)
    if match[1] is not None:
        return _CLAUSE.match(text) is None
    if not text.lstrip().startswith(("def", "async", ")")):
        return False
    return below is None or width(indentation(document.line_text(below))) <= width(indentation(text))


def _ends(document: Document, line: int, language: Language) -> bool:
    """Whether only placeholders, values and comments follow until the body ends. Deeper lines continue a line."""
    text = document.line_text(line)
    below = line_below(document, line)
    while below is not None:
        code = document.line_text(below)
        deeper = width(indentation(code)) - width(indentation(text))
        if deeper < 0 or closes_body(code, language):
            return True
        if deeper == 0 and not (is_placeholder(code, language) or is_value(code, language) or is_comment(code)):
            return False
        below = line_below(document, below)
    return True
