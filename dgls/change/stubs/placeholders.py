"""What stands in for code that is not written yet, in each language: node types and patterns, data only.

Supporting a language means adding an entry to `PLACEHOLDERS`, under its id in `dgls.code.languages`. Knows the text
of single statements and comments; whether a function is made of nothing else, `stubs` finds out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

_SAYS = (
    r"(?:not[ _-]?(?:yet[ _-]?)?implemented|unimplemented|not (?:yet )?supported yet|implement (?:me|this)"
    r"|to be implemented|[\"'`]\s*(?:todo|fixme)\s*[:!\"'`(])"
)
_THROW = rf"throw\b.*{_SAYS}.*"
_VALUE = (
    r"(?:return\b|exit\b|[\s,;()]|None|null|nil|NULL|nullptr|undefined|[tT]rue|[fF]alse|default|-?[01](?:\.0)?\b"
    r"|\[\]|\{\}|\"\"|''|Default::default)+"
)
_MARKED = re.compile(rf"\b(?:TODO|FIXME|XXX)\b|(?i:{_SAYS}|your code (?:goes )?here|(?:code|implementation) goes here)")
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


@dataclass(frozen=True, slots=True)
class Placeholders:
    """`functions` and `closures` (functions without a name) are node types. The rest match a whole statement.

    `nothing` does nothing; `refusal` says that something is to be written; `value` is returned for want of a better
    one: it is a placeholder only beside a refusal or a comment that says TODO.
    """

    functions: tuple[str, ...]
    closures: tuple[str, ...] = ()
    nothing: str = r";+"
    refusal: str = _THROW
    value: str = _VALUE


_SCRIPT = Placeholders(
    functions=("function_declaration", "generator_function_declaration", "method_definition"),
    closures=("arrow_function", "function_expression", "generator_function"),
)

PLACEHOLDERS: dict[str, Placeholders] = {
    "python": Placeholders(
        functions=("function_definition",),
        nothing=r"pass|\.\.\.|;+",
        refusal=rf"raise\s+NotImplementedError\b.*|raise\b.*\(.*{_SAYS}.*|assert\s+(?:False|0)\b.*{_SAYS}.*",
    ),
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "typescriptreact": _SCRIPT,
    "go": Placeholders(
        functions=("function_declaration", "method_declaration"),
        closures=("func_literal",),
        refusal=rf"panic\(.*{_SAYS}.*\)|return\b.*{_SAYS}.*",
    ),
    "rust": Placeholders(
        functions=("function_item",),
        closures=("closure_expression",),
        refusal=rf"(?:todo|unimplemented)!\s*[(\[{{].*|(?:panic|unreachable)!\(.*{_SAYS}.*|(?:return\s+)?Err\(.*{_SAYS}.*",
    ),
    "java": Placeholders(
        functions=("method_declaration", "constructor_declaration", "compact_constructor_declaration"),
        closures=("lambda_expression",),
        refusal=rf"{_THROW}|throw\s+new\s+UnsupportedOperationException\(\s*\)",
    ),
    "c": Placeholders(functions=("function_definition",), refusal=rf"assert\(.*{_SAYS}.*\)"),
    "cpp": Placeholders(
        functions=("function_definition",),
        closures=("lambda_expression",),
        refusal=rf"{_THROW}|assert\(.*{_SAYS}.*\)",
    ),
    "csharp": Placeholders(
        functions=(
            "method_declaration",
            "constructor_declaration",
            "destructor_declaration",
            "local_function_statement",
            "accessor_declaration",
            "operator_declaration",
        ),
        closures=("lambda_expression", "anonymous_method_expression"),
    ),
    "ruby": Placeholders(
        functions=("method", "singleton_method"),
        nothing=r"nil|;+",
        refusal=rf"(?:raise|fail)\b.*{_SAYS}.*",
    ),
    "php": Placeholders(
        functions=("function_definition", "method_declaration"),
        closures=("anonymous_function",),
    ),
    "lua": Placeholders(
        functions=("function_declaration",),
        closures=("function_definition",),
        refusal=rf"error\s*\(.*{_SAYS}.*\)",
    ),
    "shellscript": Placeholders(
        functions=("function_definition",),
        nothing=r":|true|;+",
        refusal=rf"(?:echo|printf)\b.*{_SAYS}.*",
        value=r"(?:return|exit)\s+\d+",
    ),
}

UNKNOWN = Placeholders(
    functions=(),
    nothing=r"pass|\.\.\.|:|\(\)|;+",
    refusal=r"(?:" + "|".join(each.refusal for each in PLACEHOLDERS.values()) + r")",
)
"""Of a language without an entry: what any other would take for a placeholder."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern + r"\s*;*", re.IGNORECASE | re.DOTALL)


def matches(pattern: str, statement: str) -> bool:
    return len(statement) < _LONGEST and _compiled(pattern).fullmatch(statement.strip()) is not None


def is_placeholder(line: str, language: str) -> bool:
    """Is a line blank, a placeholder, or a comment that says TODO?"""
    kinds = PLACEHOLDERS.get(language, UNKNOWN)
    code = line.strip()
    if not code or matches(kinds.nothing, code) or matches(kinds.refusal, code):
        return True
    return is_comment(code) and says_todo(code)


def is_value(line: str, language: str) -> bool:
    """Is a line what functions return for want of something better?"""
    return matches(PLACEHOLDERS.get(language, UNKNOWN).value, line)


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
