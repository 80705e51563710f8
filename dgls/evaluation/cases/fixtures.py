"""The project's fixtures as cases: the demo's marked examples, and the cursors of `fixtures/silence` that need a
suggestion.

The examples are part of the package; `fixtures/silence` (see its README) exists only in a checkout. Reads the
fixtures' files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dgls.code.languages import language_of
from dgls.errors import UnusableSource
from dgls.evaluation.cases.case import Case

FOLDER = Path(__file__).parents[3] / "fixtures" / "silence"
_CURSOR = "<CURSOR>"
_HOLE = re.compile(r"<HOLE: (.+?)>")


@dataclass(frozen=True, slots=True)
class MarkedSource:
    """A source file whose holes are marked `<HOLE: the author's text>`.

    `pinned` are the texts around and between the holes, one more than there are holes; `authored` are the texts that
    the author wrote in the holes.
    """

    name: str
    pinned: tuple[str, ...]
    authored: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> MarkedSource:
        pinned, authored = _HOLE.split(text)[::2], _HOLE.findall(text)
        assert authored, f"{name} marks no hole"
        return cls(name, tuple(pinned), tuple(authored))

    def filled(self, fills: tuple[str, ...]) -> str:
        parts = [text for pair in zip(self.pinned, (*fills, ""), strict=True) for text in pair]
        return "".join(parts)


def fixture_cases(examples: Iterable[MarkedSource], folder: Path = FOLDER) -> list[Case]:
    """Each hole of the examples, with the other holes filled by their author's text; then the cases of `folder`, if it
    exists."""
    return [*(case for example in examples for case in marked_cases(example)), *_answered(folder)]


def marked_cases(source: MarkedSource) -> Iterator[Case]:
    """Each hole of a source, with the other holes filled by their author's text."""
    text = source.filled(source.authored)
    language = language_of("", source.name).id
    end = 0
    for number, (pinned, authored) in enumerate(zip(source.pinned, source.authored, strict=False), 1):
        start = end + len(pinned)
        end = start + len(authored)
        name = f"fixture/{source.name}/{number}"
        yield Case(name, "fixture", source.name, language, text[:start], authored, text[end:], "examples")


def _answered(folder: Path) -> Iterator[Case]:
    """The cases with an answer. A case without one is a cursor at which the server stays silent."""
    for file in sorted(folder.glob("*.toml")):
        try:
            records = tomllib.loads(file.read_text(encoding="utf-8"))["case"]
            cases = [
                (case["name"], case.get("path"), case["text"], case["answer"]) for case in records if "answer" in case
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnusableSource(f"{file} is no file of cases ({error}); see the README beside it") from None
        for name, path, text, answer in cases:
            prefix, _, suffix = text.partition(_CURSOR)
            id = f"fixture/{file.stem}/{name}"
            yield Case(id, "fixture", path or "untitled", file.stem, prefix, answer, suffix, "fixtures")
