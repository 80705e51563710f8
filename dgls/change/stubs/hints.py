"""May a document hold stubs? A look at its lines alone, for those who can't wait for a tree. Pure.

Says yes wherever `dgls.change.stubs.finding.stubs_in` finds something that people write, and now and then to more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgls.change.stubs.placeholders import declares_only, is_comment, is_placeholder, is_value
from dgls.code.document import Document
from dgls.code.indentation import closes_body, indentation, line_above, line_below, width
from dgls.code.languages import FALLBACK, Language, language_of

# Each pattern begins with plain letters: those are searched for many times as fast as anything else.
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
    # nothing, or what begins at the left or begins a definition
    r"(?:\r?\n[ \t]*+(?=[\r\n]))*+(?:\r?\n(?=\S|[ \t]++(?:def|class|async|@))|\s*\Z)"
    # a docstring, and nothing as deep below
    r"|\r?\n([ \t]++)[rR]?(?:\"\"\"(?:[^\"\\]++|\\.|\"(?!\"\"))*+\"\"\"|'''(?:[^'\\]++|\\.|'(?!''))*+''')"
    r"[ \t]*+(?:#[^\r\n]*+)?(?:\r?\n[ \t]*+(?=[\r\n]))*+(?:\r?\n(?!\1)|\s*\Z))",
    re.DOTALL,
)
_CLAUSE = re.compile(r"\s*(?:class|except|if|elif|else|for|while|with|try|finally|case|Traceback)\b")
_COMMENT = re.compile(r"(?<=\S)\s+(?:#|//|--|/\*).*")
_OPENED = re.compile(r"[{:>;)]\s*")
_CLOSED = re.compile(r"[\s;}]*(?:\bend)?\s*$")
_MANY = 100  # places that were looked at in vain; then the tree has to tell


def hints_at_stubs(document: Document) -> bool:
    """Takes two to four milliseconds for 10,000 lines that hold none, less for those that do."""
    language = language_of(document.language, document.uri)
    if declares_only(document.uri) or language.kind != "code":
        return False
    for looked, line in enumerate(_lines(document, *_EVERYWHERE, *language.placeholders.hints)):
        if looked == _MANY or _is_all(document, language, line):
            return True
    if language.offside:
        return any(_is_bare(document, match) for match in _INDENTED.finditer(document.text))
    empty = _END if closes_body("end", language) else _BRACES
    return language is not FALLBACK and empty.search(document.text) is not None


def _lines(document: Document, *patterns: str) -> Iterator[int]:
    for pattern in patterns:
        for match in re.finditer(pattern, document.text):
            yield document.line_at(match.start())


def _is_all(document: Document, language: Language, line: int) -> bool:
    """Does the body around have no more than the placeholder on this line?"""
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
    """Is a head or a docstring all that there is of a function?"""
    line = document.line_at(match.start())
    text, below = document.line_text(line), line_below(document, line)
    if match[1] is not None:
        return _CLAUSE.match(text) is None
    if not text.lstrip().startswith(("def", "async", ")")):
        return False
    return below is None or width(indentation(document.line_text(below))) <= width(indentation(text))


def _ends(document: Document, line: int, language: Language) -> bool:
    """Does nothing but placeholders, values and comments follow the line until its body ends?

    What is deeper goes on with a line.
    """
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
