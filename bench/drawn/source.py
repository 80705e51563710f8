"""Real files in which places are drawn, with what Pygments says of each character."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, String, Text, _TokenType

from dgls.code.languages import Language, language_of

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
_GENERATED = re.compile(r"(?i)generated|do not edit")
_QUOTED = re.compile(r"\w{0,2}#*[\"'`]|<<|\[=*\[")
_NO_TEXT = (String.Affix, String.Char, String.Interpol, String.Other, String.Regex, String.Symbol)


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
        return all(is_comment(kind) for kind in self.kinds[at - 1 : at + 1])

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


def is_comment(kind: _TokenType) -> bool:
    return kind in Comment and kind not in Comment.Preproc and kind not in Comment.PreprocFile


def sources(folders: Sequence[Path]) -> Iterator[Source]:
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        language = language_of("", path.name)
        text = path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size <= _LONGEST_FILE else ""
        by_person = not _GENERATED.search(text[:1500]) and max(map(len, text.split("\n"))) <= _LONGEST_LINE
        if language.id != "unknown" and text.strip() and by_person and "\r" not in text and "\ufeff" not in text:
            yield Source(path, text, language)
