"""Recognize single statements and comments that stand for missing code.

The patterns of each language are in its entry in `dgls.code.languages`. `finding` decides whether a function holds
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
    """Whether a statement says that code is missing, such as `raise NotImplementedError`."""
    return _matches(language.placeholders.refusal, statement)


def is_value(line: str, language: Language) -> bool:
    """Whether a line is a value that unfinished functions return, such as `return None`."""
    return _matches(language.placeholders.value, line)


def is_placeholder(line: str, language: Language) -> bool:
    """Whether a line is blank, a placeholder, or a comment that says TODO."""
    code = line.strip()
    if not code or does_nothing(code, language) or refuses(code, language):
        return True
    return is_comment(code) and says_todo(code)


def is_comment(line: str) -> bool:
    """Whether a line begins with a comment mark of most languages."""
    return re.match(_COMMENT, line) is not None


def says_todo(comment: str) -> bool:
    return _MARKED.search(comment) is not None


def says_what(comment: str) -> bool:
    """Whether a comment describes the missing code, and does not only say that some is missing."""
    words = re.findall(r"[^\W\d_]+", _OWNER.sub("", comment).lower())
    return not _FILLER.issuperset(words)


def explains(comment: str) -> bool:
    """Whether this is a comment for people without a TODO. In an empty body it says why there is no code."""
    return not says_todo(comment) and not _DIRECTIVE.search(comment) and re.search(r"\w", comment) is not None


def declares_only(uri: str) -> bool:
    """Whether the file holds only signatures."""
    return _DECLARATIONS.search(uri) is not None
