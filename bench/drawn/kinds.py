"""Kinds of places: how the author's file is cut there, and whether a suggestion is wanted (`bench/places.py` says)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

from pygments.token import Comment, Keyword, Name, Operator, Punctuation, String, Text

from bench.drawn.source import Source, is_comment
from dgls.code.indentation import indentation

_BARE_WORDS = frozenset({"shellscript", "dockerfile", "makefile", "cmake"})
"""Languages in which a word of code may have no token type of its own."""

_OPENERS, _CLOSERS, _QUOTES = "([{<", ")]}>", "\"'`"
_OPERATOR_END = re.compile(r"(?<![-+.\d<>*/])[-=([{,.+<&|^~@$:]$|(?<!:):$|[-=]>$|::$|==$|&&$|\|\|$")
_KEYWORD_END = re.compile(r"([A-Za-z]+)\s+$")
_MAY_END_LINE = re.compile(
    r"(?i)(asc|begin|break|catch|const|continue|default|desc|do|done|else|els?if|end\w*|ensure|esac|except|fi|finally|in|key|"
    r"next|nil|null|of|pass|redo|rescue|retry|return|self|super|then|this|try|where|yield)$"
)
_BODY_GOES_ON = re.compile(
    r"(?i)(case|catch|default|do|else|els?if|end\w*|ensure|esac|except|fi|finally|done|in|of|rescue|then|until|when|where)\b"
)
_CLOSES = re.compile(r"[\])}>]|</|/>|(end\w*|fi|done|esac|else|until)\b")


Draw = Callable[[Source, int, random.Random, frozenset[str]], tuple[str, int] | None]
"""The text in mid-edit and the cursor, near a random offset of the file; None if there is no place of the kind."""


def _comment(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    in_mark = source.text[at - 1] in "/-*#;%<!{\n"
    return _maybe_cut(source, at, chance) if source.in_comment(at) and not in_mark else None


def _string(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    return _maybe_cut(source, at, chance) if source.in_string(at) and source.text[at - 1] not in _QUOTES else None


def _maybe_cut(source: Source, at: int, chance: random.Random) -> tuple[str, int]:
    rest = source.line(at)[1]
    return source.text[:at] + source.text[at + (len(rest) if chance.random() < 0.5 else 0) :], at


def _word(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    return (source.text, at) if re.fullmatch(r"\w\w", source.text[at - 1 : at + 1]) else None


def _before(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    left, right = source.line(at)
    if right[:1].strip() == "" or re.fullmatch(r"\w\w", source.text[at - 1 : at + 1]) or source.in_text(at):
        return None
    last, first = source.text[:at].rstrip()[-1:], right[0]
    empty = (last in _OPENERS + ",>" and first in _CLOSERS + ",;<") or (last in _QUOTES and last == first)
    of_data = source.language.id == "json" and first == '"'
    spaced = left[-1:].isspace() and left.strip() and first in _CLOSERS + ",;:"
    return None if empty or spaced or of_data else (source.text, at)


def _end(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    left, right = source.line(at)
    line = (left + right).rstrip()
    at += len(line) - len(left)
    below = source.below(at)
    empty_body = _CLOSES.match(below.lstrip()) and len(indentation(below)) <= len(indentation(line))
    empty_value = line.endswith(("=", ":")) and len(indentation(below)) <= len(indentation(line))
    if not line or empty_body or empty_value or is_comment(source.kinds[at - 1]):
        return None
    return source.text, at


def _apart(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    usual = r"\n\n(?=\n\S)" if source.language.id == "python" else r"(?<!\n)\n(?=\n\S)"
    gaps = [match.end() for match in re.finditer(usual, source.text)]
    if not gaps:
        return None
    at = chance.choice(gaps)
    above = source.text[:at].rstrip("\n").rpartition("\n")[2]
    in_literal = source.kinds[at] in Comment or source.kinds[at] in String
    return (source.text, at) if re.match(r"\s|\}|end", above) and not in_literal else None


def _cut(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    left, right = source.line(at)
    code = left.rstrip()
    if not code or not re.search(r"\w", right) or source.in_text(at) or '"' in left or "`" in left:
        return None
    last = source.kinds[at - len(left) + len(code) - 1]
    keyword = _KEYWORD_END.search(left)
    if last in Operator or last in Punctuation:
        opened = sum(map(code.count, "([{")) > sum(map(code.count, ")]}"))
        needs_more = _OPERATOR_END.search(code) and (opened or not code.endswith(","))
    else:
        plain = last in Keyword and last not in Keyword.Type and last not in Keyword.Constant
        needs_more = keyword and plain and source.language.kind == "code" and not _MAY_END_LINE.match(keyword[1])
    below = source.below(at)
    if not needs_more or len(indentation(below)) > len(indentation(left)):
        return None
    return _shortened(source, at, chance)


def _typed(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    left, right = source.line(at)
    word = re.search(r"(?<![\w$])[A-Za-z]\w+$", left)
    kind = source.kinds[at]
    of_code = kind in Name or kind in Keyword or (kind in Text and source.language.id in _BARE_WORDS)
    whole = word is None or word[0] in source.words or word[0].lower() in known
    if whole or not re.match(r"\w", right) or not of_code or source.in_text(at) or '"' in left or "`" in left:
        return None
    return _shortened(source, at, chance)


def _line(source: Source, at: int, chance: random.Random, known: frozenset[str]) -> tuple[str, int] | None:
    left, right = source.line(at)
    line = left + right
    start = at - len(left) + len(indentation(line))
    kind = source.kinds[start] if line.strip() else Text
    of_code = (
        kind in Name or kind in Keyword or kind in Punctuation or (kind in Text and source.language.id in _BARE_WORDS)
    )
    code = line.lstrip()
    outside = (
        kind in Text or not (re.search(r"\w", code) and of_code) or _CLOSES.match(code) or _BODY_GOES_ON.match(code)
    )
    if (
        outside
        or not indentation(line)
        or source.kinds[at - len(left) - 1] in String
        or source.language.kind == "prose"
    ):
        return None
    return _shortened(source, start, chance)


def _shortened(source: Source, at: int, chance: random.Random) -> tuple[str, int]:
    """Without the rest of the line, except, at a third, the marks that close it: an editor closes brackets unasked."""
    line, _, below = source.text[at:].partition("\n")
    way = chance.randrange(3)
    closers = re.search(r"[)\]};,]*$", line) if way == 0 and source.text[at - 1 : at].strip() else None
    return f"{source.text[:at]}{closers[0] if closers else ''}\n{'' if way == 1 else below}", at


KINDS: Mapping[bool, Mapping[str, Draw]] = {
    False: {"comment": _comment, "string": _string, "word": _word, "before": _before, "end": _end, "apart": _apart},
    True: {"cut": _cut, "typed": _typed, "line": _line},
}
