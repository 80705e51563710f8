"""May a document hold stubs? A look at its lines alone, for those who can't wait for a tree. Pure.

Says yes wherever `dgls.rewrite.stubs.stubs_in` finds something that people write, and now and then to more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgls.document import Document
from dgls.region.indentation import closes_body, indentation, line_above, line_below, width
from dgls.region.languages import FALLBACK, Language, language_of
from dgls.rewrite.placeholders import PLACEHOLDERS, declares_only, is_comment, is_placeholder, is_value, says_missing

# Each pattern begins with plain letters: those are searched for many times as fast as anything else.
_WORDS = tuple(
    re.compile(pattern)
    for pattern in (
        "TODO",
        "FIXME",
        "XXX",
        "todo",
        "fixme",
        "code here",
        "goes here",
        "mplement",
        "MPLEMENT",
        "upported yet",
        r"UnsupportedOperationException\(\s*+\)",
        r"pass(?<!\wpass)[ \t]*+(?:[#;\r\n]|\Z)",
        r"\.\.\.[ \t]*+(?:[#;\r\n]|\Z)",
    )
)
_BRACES = re.compile(r"\{\s*+(?:[;:]\s*+|true\s*+;?\s*+)?\}(?<![=(,:\[>$]\{\})(?<![=(,:\[>] \{\})")
_END = re.compile(r"(?:def |function\b)[^\r\n;]*+(?:\s*+--[^\r\n]*+)*+[\s;]*+(?:nil\s*+)?end\b")
_HEAD = re.compile(r"def [^\r\n]*+")
_QUOTES = re.compile(r"\"\"\"[ \t]*+[\r\n#]"), re.compile(r"'''[ \t]*+[\r\n#]")
_CLAUSE = re.compile(r"\s*(?:class|except|if|elif|else|for|while|with|try|finally|case)\b")


def may_hold_stubs(document: Document) -> bool:
    """Takes a millisecond or two for 10,000 lines."""
    language = language_of(document.language, document.uri)
    if declares_only(document.uri) or (language is not FALLBACK and language.id not in PLACEHOLDERS):
        return False
    if any(_is_all(document, language, line) for line in _lines(document, *_WORDS)):
        return True
    if language.offside:
        heads = (_is_bare(document, line) for line in _lines(document, _HEAD))
        return any(heads) or any(_ends(document, line, language) for line in _lines(document, *_QUOTES))
    empty = _END if language.id in ("ruby", "lua") else _BRACES
    return language is not FALLBACK and empty.search(document.text) is not None


def _lines(document: Document, *patterns: re.Pattern[str]) -> Iterator[int]:
    for pattern in patterns:
        for match in pattern.finditer(document.text):
            yield document.line_at(match.start())


def _is_all(document: Document, language: Language, line: int) -> bool:
    """Does the body around have no more than the placeholder on this line?"""
    text = document.line_text(line)
    if not is_placeholder(text, language.id):
        return says_missing(text)
    above = line_above(document, line)
    if above is not None:
        head = document.line_text(above)
        if _CLAUSE.match(head) and language.offside:
            return False
        if width(indentation(head)) >= width(indentation(text)) and not (
            is_placeholder(head, language.id) or is_comment(head) or head.rstrip().endswith(('"', "'"))
        ):
            return False
    return _ends(document, line, language)


def _is_bare(document: Document, line: int) -> bool:
    """Is a head all that there is of a function?"""
    text, below = document.line_text(line), line_below(document, line)
    if not text.partition("#")[0].rstrip().endswith(":"):
        return False
    return below is None or width(indentation(document.line_text(below))) <= width(indentation(text))


def _ends(document: Document, line: int, language: Language) -> bool:
    """Does nothing but placeholders, values and comments follow the line until its body ends?

    What is deeper goes on with a line."""
    text = document.line_text(line)
    below = line_below(document, line)
    while below is not None:
        code = document.line_text(below)
        deeper = width(indentation(code)) - width(indentation(text))
        if deeper < 0 or closes_body(code, language):
            return True
        if deeper == 0 and not (is_placeholder(code, language.id) or is_value(code, language.id) or is_comment(code)):
            return False
        below = line_below(document, below)
    return True
