"""Which string or comment a text is inside: a scan that needs neither a grammar nor the whole file.

It serves where a tree is no help: in a language without a grammar, behind a string or comment that is not closed yet,
on a line that is being typed, and in the model's text. Code inside of a string (an interpolation) counts as string.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from dgls.code.language import Language, Quote

_BRACKETS = tuple("()[]{}")
_LEVEL = re.compile(r"\[(=+)\[$")
"""A long bracket: as many = stand in the one that closes it."""

_GUARDS = {
    "#": r"(?<![\w$\\{&]#)",  # as in $#, ${#a} and &#39;
    "//": r"(?<!://)",  # as in http://
    ";": r"(?<![\w\\&];)",
    "%": r"(?<![\w\\]%)",
    "!": r"(?!=)",
}
"""What keeps a mark from starting a comment. Each looks back from behind the mark, because a pattern that starts with
plain characters is searched for many times faster."""


@dataclass(frozen=True, slots=True)
class Open:
    """A string or comment that `mark` has started, and `end` ends; "" is the end of the line. `rest` matches what is
    left of it. An `anchored` one starts only where the line's code begins."""

    kind: Literal["string", "comment"]
    mark: str
    end: str
    rest: re.Pattern[str]
    anchored: bool = False


@dataclass(frozen=True, slots=True)
class _Marks:
    opens: dict[str, tuple[Open, ...]]
    pattern: re.Pattern[str]
    with_brackets: re.Pattern[str]


def literal_at(text: str, start: int, end: int, language: Language) -> Open | None:
    """The string or comment that is open at `end`. The text is read from `start` on, which may be inside of one."""
    *_, last = _steps(text, start, end, language, _open_far_above(text, start, language), brackets=False)
    return last if isinstance(last, Open) else None


def _open_far_above(text: str, offset: int, language: Language) -> Open | None:
    """The block comment or triple-quoted string that `offset` is likely inside of: counting marks takes a tenth of a
    millisecond where a scan takes several."""
    if offset == 0:
        return None
    for each in (open_ for opens in _marks(language).opens.values() for open_ in opens):
        if each.kind == "string":
            if len(each.mark) == 3 and each.mark == each.end and text.count(each.mark, 0, offset) % 2:
                return each
        elif each.end and (at := text.rfind(each.mark, 0, offset)) >= 0 and text.find(each.end, at, offset) < 0:
            *_, last = _steps(text, text.rfind("\n", 0, at) + 1, at + len(each.mark), language, None, brackets=False)
            if last == each:
                return each
    return None


def brackets_of(text: str, language: Language, inside: Open | None = None) -> Iterator[int | Open | None]:
    """The index of each bracket in code, then the literal that is open at the end. The text starts `inside` one."""
    return _steps(text, 0, len(text), language, inside, brackets=True)


def _steps(
    text: str, at: int, end: int, language: Language, inside: Open | None, *, brackets: bool
) -> Iterator[int | Open | None]:
    marks = _marks(language)
    pattern = marks.with_brackets if brackets else marks.pattern
    below: tuple[int, Open] | None = None  # a string that starts on the next line
    if at == 0 and inside is None and text.startswith("#!"):
        inside = _HASHBANG
    while True:
        if inside is not None:
            rest = inside.rest.match(text, at, end)
            if rest is None:
                break
            at, inside = rest.end(), None
        match = pattern.search(text, at, end if below is None else below[0])
        if match is None and below is None:
            break
        if match is None:
            assert below is not None
            (at, inside), below = below, None
            continue
        at = match.end()
        if match.lastgroup == "word":
            line_end = text.find("\n", at, end)
            below = (line_end + 1, _here_document(match["word"])) if line_end >= 0 else below
        elif match[0] in _BRACKETS and match[0] not in marks.opens:
            yield match.start()
        else:
            inside = _opened(text, match, marks.opens)
    yield inside


def _opened(text: str, match: re.Match[str], opens: Mapping[str, Sequence[Open]]) -> Open | None:
    line_start = text.rfind("\n", 0, match.start()) + 1
    first = not text[line_start : match.start()].strip()
    level = _LEVEL.search(match[0])
    possible = opens.get(match[0] if level is None else f"{match[0][: level.start()]}[[", ())
    opened = next((each for each in possible if first or not each.anchored), None)
    return opened if opened is None or level is None else _with_end(opened, f"]{level[1]}]")


def _with_end(opened: Open, end: str) -> Open:
    return replace(opened, end=end, rest=_compiled([rf".*?{end}"]))


@cache
def _marks(language: Language) -> _Marks:
    opens: dict[str, tuple[Open, ...]] = {}
    for each in (*_comments(language), *map(_string, language.quotes)):
        opens[each.mark] = (*opens.get(each.mark, ()), each)
    patterns = [_pattern(mark) for mark in sorted(opens, key=lambda mark: (-len(mark), mark))]
    literals = [*filter(None, (language.heredoc, language.atoms)), *patterns]
    brackets = [re.escape(bracket) for bracket in _BRACKETS if bracket not in opens]
    return _Marks(opens, _compiled(literals or [r"(?!)"]), _compiled([*literals, *brackets]))


def _compiled(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.DOTALL)


def _comments(language: Language) -> Iterator[Open]:
    for start, end in language.block_comments:
        anchored = start.startswith("^")
        rest = rf".*?\n{re.escape(end[1:])}" if end.startswith("^") else rf".*?{re.escape(end)}"
        yield Open("comment", start.removeprefix("^"), end.removeprefix("^"), _compiled([rest]), anchored)
    for mark in language.line_comments:
        yield Open("comment", mark.removeprefix("^"), "", _LINE, mark.startswith("^"))


def _string(quote: Quote) -> Open:
    first, end, escape = re.escape(quote.end[0]), re.escape(quote.end), re.escape(quote.escape)
    char, line_end = (".", "") if quote.lines else (r"[^\n]", r"|\n")
    escaped = f"{escape}.|" if escape else ""
    rest = rf"(?:[^{first}{escape}\n]++|{escaped}(?!{end}){char})*+(?:{end}{line_end})"
    return Open("string", quote.start, quote.end, _compiled([rest]))


def _here_document(word: str) -> Open:
    return Open("string", "<<", word, _compiled([rf"(?m:.*?^[ \t]*{word}\b)"]))


def _pattern(mark: str) -> str:
    if mark.endswith("[["):
        return re.escape(mark[:-1]) + r"=*\["
    guard = r"\b" if mark.lstrip("@").isalpha() else _GUARDS.get(mark, "")
    return re.escape(mark) + guard


_LINE = _compiled([r"[^\n]*\n"])
_HASHBANG = Open("comment", "#!", "", _LINE)
