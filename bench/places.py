"""Measures at random places in real files how often the planner keeps quiet where no suggestion is wanted, and only
there.

    python bench/places.py FOLDER... [--count 1000] [--seed 0] [--failures KIND]

Draws as many places in each language, half of them where a suggestion is wanted, the kinds in turn. Pygments' tokens of
the author's file and the way it was cut tell what is wanted; the planner's own reading of the code does not.

None is wanted:

- comment, string: inside a comment, or prose; inside a string. Half of the lines are cut there.
- word: inside a word as the author wrote it.
- before: right before code as the author wrote it.
- end: at the end of a line as the author wrote it.
- apart: on a blank line between a definition's body and code that is not indented.

One is wanted. A third of the files end at the place, and a third of the lines keep the marks that close them:

- cut: the line is cut behind an operator, a comma, an opening bracket or a keyword that cannot end it.
- typed: the line is cut in a word, and the part that is left is a word nowhere in the file.
- line: the code of an indented line is deleted.

Where either may be right no place is drawn: at a cut line that may be whole, in an empty bracket or body, in the
strings of JSON, in the text of markup. `--failures` prints the places of a kind at which the planner is wrong. The last
line is JSON: the shares that are right.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Operator, Punctuation, String, Text, _TokenType

from bench.silence import share
from dgls.code.document import Document
from dgls.code.indentation import indentation
from dgls.code.languages import Language, language_of
from dgls.code.syntax import parse
from dgls.suggest.plan import Budget, Quiet, plan

_LEXERS = {
    "dockerfile": "docker",
    "git-commit": "text",
    "properties": "ini",
    "shellscript": "bash",
    "svelte": "vue",
    "typescriptreact": "tsx",
}
"""Pygments' names where they are not the LSP's."""

_LONGEST_FILE, _LONGEST_LINE = 200_000, 400
_TRIES = 200
"""For one place, before its kind is given up in a language."""

_GENERATED = re.compile(r"(?i)generated|do not edit")
_BARE_WORDS = frozenset({"shellscript", "dockerfile", "makefile", "cmake"})
"""Languages in which a word of code may have no token type of its own."""

_OPENERS, _CLOSERS, _QUOTES = "([{<", ")]}>", "\"'`"
_QUOTED = re.compile(r"\w{0,2}#*[\"'`]|<<|\[=*\[")
_NO_TEXT = (String.Affix, String.Char, String.Interpol, String.Other, String.Regex, String.Symbol)
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


@dataclass(frozen=True)
class Source:
    """A file as its author wrote it."""

    path: Path
    text: str
    language: Language

    @cached_property
    def kinds(self) -> list[_TokenType]:
        """The token type of each character."""
        lexer = get_lexer_by_name(_LEXERS.get(self.language.id, self.language.id), stripnl=False, ensurenl=False)
        return [kind for kind, value in lexer.get_tokens(self.text) for _ in value] + [Text]

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(re.findall(r"\w+", self.text))

    def keywords(self) -> set[str]:
        pairs = zip(self.kinds, self.text, strict=False)
        return set(
            re.findall(
                r"\w+", "".join(char if kind in Keyword or kind in Name.Builtin else " " for kind, char in pairs)
            )
        )

    def line(self, at: int) -> tuple[str, str]:
        """The line's text before and behind `at`."""
        return self.text[self.text.rfind("\n", 0, at) + 1 : at], self.text[at:].partition("\n")[0]

    def below(self, at: int) -> str:
        """The next line that is not blank."""
        return next((line for line in self.text[at:].split("\n")[1:] if line.strip()), "")

    def in_comment(self, at: int) -> bool:
        if self.language.kind == "prose":
            fences = re.findall(r"(?m)^ {0,3}(?:```|~~~)", self.text[:at])
            return len(fences) % 2 == 0 and not self.line(at)[0].lstrip().startswith(("`", "~"))
        return all(_is_comment(kind) for kind in self.kinds[at - 1 : at + 1])

    def in_string(self, at: int) -> bool:
        """In a string that a quote starts: some lexers take bare words for strings."""
        if self.language.id == "json" or not all(self._is_string(kind) for kind in self.kinds[at - 1 : at + 1]):
            return False
        start = next((each for each in range(at - 1, -1, -1) if self.kinds[each] not in String), -1) + 1
        return _QUOTED.match(self.text, start, at) is not None

    def _is_string(self, kind: _TokenType) -> bool:
        command = kind in String.Backtick and self.language.id in ("shellscript", "ruby", "perl", "php")
        return kind in String and not command and not any(kind in other for other in _NO_TEXT)

    def in_text(self, at: int) -> bool:
        """In a comment or string, or in what lies between tags, or next to one of these?"""
        if self.in_comment(at):
            return True
        markup = self.language.kind == "markup" and self.kinds[at - 1] in Text
        return markup or any(
            (kind in Comment and kind not in Comment.Preproc) or kind in String for kind in self.kinds[at - 1 : at + 1]
        )


def _is_comment(kind: _TokenType) -> bool:
    return kind in Comment and kind not in Comment.Preproc and kind not in Comment.PreprocFile


@dataclass(frozen=True, slots=True)
class Place:
    kind: str
    wanted: bool
    document: Document
    offset: int

    @property
    def answer(self) -> Quiet | None:
        region = plan(self.document, self.offset, Budget(), parse(self.document, self.offset))
        return region if isinstance(region, Quiet) else None

    def __str__(self) -> str:
        text, at = self.document.text, self.offset
        above = text[:at].split("\n")[-6:]
        below = text[at:].split("\n")[:4]
        return "\n".join(("\n".join(above) + "⎀" + "\n".join(below)).split("\n"))


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
    if not line or empty_body or empty_value or _is_comment(source.kinds[at - 1]):
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


def sources(folders: Sequence[Path]) -> Iterator[Source]:
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        language = language_of("", path.name)
        text = path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size <= _LONGEST_FILE else ""
        by_person = not _GENERATED.search(text[:1500]) and max(map(len, text.split("\n"))) <= _LONGEST_LINE
        if language.id != "unknown" and text.strip() and by_person and "\r" not in text and "\ufeff" not in text:
            yield Source(path, text, language)


def draw(of_language: Sequence[Source], count: int, seed: int) -> Iterator[Place]:
    """Up to `count` places in files of one language."""
    chance = random.Random(f"{seed} {of_language[0].language.id}")
    known = frozenset(word.lower() for source in of_language for word in source.keywords())
    kinds = {wanted: list(named) for wanted, named in KINDS.items()}
    drawn = 0
    while drawn < count and any(kinds.values()):
        wanted = drawn % 2 == 0
        if not kinds[wanted]:
            wanted = not wanted
        kind = kinds[wanted].pop(0)
        place = _of_kind(kind, wanted, of_language, chance, known)
        if place is not None:
            kinds[wanted].append(kind)
            drawn += 1
            yield place


def _of_kind(
    kind: str, wanted: bool, of_language: Sequence[Source], chance: random.Random, known: frozenset[str]
) -> Place | None:
    for _ in range(_TRIES):
        source = chance.choice(of_language)
        edited = KINDS[wanted][kind](source, _somewhere(source, chance), chance, known)
        if edited is not None:
            text, offset = edited
            document = Document(f"file:///project/{source.path.name}", 1, source.language.id, text)
            return Place(kind, wanted, document, offset)
    return None


def _somewhere(source: Source, chance: random.Random) -> int:
    """An offset on a random line that is not blank, and not the file's first."""
    line = chance.choice(list(re.finditer(r"(?m)(?<=\n).*\S.*$", source.text)))
    return chance.randint(line.end() - len(line[0].lstrip()), line.end())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", default="", metavar="KIND")
    options = parser.parse_args()
    by_language: dict[str, list[Source]] = defaultdict(list)
    for source in sources(options.folders):
        by_language[source.language.id].append(source)
    by_kind: dict[str, list[bool]] = defaultdict(list)
    of_all: dict[bool, list[bool]] = {False: [], True: []}
    for name, of_language in by_language.items():
        right: dict[bool, list[bool]] = {False: [], True: []}
        for place in draw(of_language, -(-options.count // len(by_language)), options.seed):
            answer = place.answer
            is_right = (answer is None) is place.wanted
            right[place.wanted].append(is_right)
            of_all[place.wanted].append(is_right)
            by_kind[place.kind].append(is_right)
            if not is_right and place.kind == options.failures:
                print(f"--- {name}: {place.kind}, {answer}\n{place}")
        quiet, shown = right[False], right[True]
        print(f"{name:16} quiet {sum(quiet):3} of {len(quiet):3}   shown {sum(shown):3} of {len(shown):3}")
    figures = {
        "places": sum(map(len, of_all.values())),
        "languages": len(by_language),
        "quiet_rate": share(of_all[False]),
        "show_rate": share(of_all[True]),
        **{kind: [share(right), len(right)] for kind, right in sorted(by_kind.items())},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
