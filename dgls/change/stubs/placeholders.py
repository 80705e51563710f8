"""What a single statement or comment says of code that is not written yet.

The patterns of each language are in its entry in `dgls.code.languages`. `finding` tells whether a function holds
nothing else. Pure.
"""

from __future__ import annotations

import re
from functools import cache

from dgls.code.language import SAYS_UNWRITTEN, Language

_MARKED = re.compile(
    rf"\b(?:TODO|FIXME|XXX)\b|(?i:{SAYS_UNWRITTEN}|your code (?:goes )?here|(?:code|implementation) goes here)"
)
_DECLARATIONS = re.compile(r"\.pyi$|\.d\.[mc]?ts$")
_DIRECTIVE = re.compile(r"\b(?:noqa|pragma|nolint|pylint|eslint|mypy|NOLINT)\b|\btype:")
_COMMENT = r"\s*(?:#|//|--|;;|%|/\*|\*|\(\*|<!--)"
_OWNER = re.compile(r"(?:TODO|FIXME|XXX)\s*\([^)]*\)")
_LONGEST = 400  # characters of a placeholder; longer statements are code
_FILLER_WORDS = (
    "todo fixme xxx implement implements implementation implemented unimplemented this me it here later now the a "
    "function method body add code fill in write your auto automatically generated stub not yet goes be to please "
    "supported need needs"
)
_FILLER = frozenset(_FILLER_WORDS.split())


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern + r"\s*;*", re.IGNORECASE | re.DOTALL)


def _matches(pattern: str, statement: str) -> bool:
    return len(statement) < _LONGEST and _compiled(pattern).fullmatch(statement.strip()) is not None


def does_nothing(statement: str, language: Language) -> bool:
    return _matches(language.placeholders.nothing, statement)


def refuses(statement: str, language: Language) -> bool:
    """Does a statement say that code is missing?"""
    return _matches(language.placeholders.refusal, statement)


def is_value(line: str, language: Language) -> bool:
    """Is a line what functions return for want of something better?"""
    return _matches(language.placeholders.value, line)


def is_placeholder(line: str, language: Language) -> bool:
    """Is a line blank, a placeholder, or a comment that says TODO?"""
    code = line.strip()
    if not code or does_nothing(code, language) or refuses(code, language):
        return True
    return is_comment(code) and says_todo(code)


def is_comment(line: str) -> bool:
    """By the marks that most languages use."""
    return re.match(_COMMENT, line) is not None


def says_todo(comment: str) -> bool:
    return _MARKED.search(comment) is not None


def says_what(comment: str) -> bool:
    """Does a comment say what is to be done, and not only that something is?"""
    words = re.findall(r"[^\W\d_]+", _OWNER.sub("", comment).lower())
    return not _FILLER.issuperset(words)


def explains(comment: str) -> bool:
    """Is this a comment for people which does not say TODO? Beside nothing else it says why there is nothing."""
    return not says_todo(comment) and not _DIRECTIVE.search(comment) and re.search(r"\w", comment) is not None


def declares_only(uri: str) -> bool:
    """Is this a file of signatures alone?"""
    return _DECLARATIONS.search(uri) is not None
