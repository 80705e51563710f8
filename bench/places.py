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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.drawn.kinds import KINDS
from bench.drawn.source import Source, sources
from bench.silence import share
from dgls.code.document import Document
from dgls.code.syntax import parse
from dgls.suggest.plan import Budget, Quiet, plan

_TRIES = 200
"""For one place, before its kind is given up in a language."""


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
