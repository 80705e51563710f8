"""Measures where the surprise of code rises by an edit above it: at the old name, if the edit renames one?

    python bench/next_edit_rise.py [--limit 24] [--seed 7] [--model small] [--threads 1]

The code is the eight lines below the edited one, read behind that line as it was and as it is. After renames of locals,
parameters and fields: how often the token whose surprise rose most is a part of the old name (`rise_first`), or one of
the three that rose most (`rise_in_3`); the same for the surprise after the edit. `highest_wanted` and
`highest_unwanted`: the highest rise, in nats, after each of these edits, and after edits that ask for nothing. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

from bench.edits.cases import cases
from bench.edits.source import Case
from dgls.code.document import Document
from dgls.next_edit.edit import Edit, edit_between
from dgls_engine import Engine
from dgls_engine.types import Context, ScoreRequest

RENAMES = ("local", "parameter", "field")
QUIET = ("literal", "use", "operator", "unlike", "one alike")
LINES, LONGEST = 8, 120


@dataclass(frozen=True, slots=True)
class Below:
    """The tokens below an edit: their text, their surprise after it, and by how much it rose."""

    tokens: Sequence[str]
    after: Sequence[float]
    rise: Sequence[float]

    def names(self, name: str, index: int) -> bool:
        """Whether the token is a part of this name."""
        starts = list(accumulate(map(len, self.tokens), initial=0))
        found = re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", "".join(self.tokens))
        return any(match.start() < starts[index + 1] and starts[index] < match.end() for match in found)

    def highest(self, values: Sequence[float], count: int) -> list[int]:
        return sorted(range(len(values)), key=lambda index: -values[index])[:count]


def edit_of(case: Case) -> Edit | None:
    before, after = (Document("file:///a.py", 1, "python", text) for text in (case.base, case.edited))
    edit = edit_between(before, after)
    whole = edit is not None and "\n" not in edit.lines_before + edit.lines_after
    return edit if whole else None


def below(engine: Engine, edit: Edit) -> Below:
    line = edit.after.line_at(edit.new.start) + 1
    numbers = range(line, min(edit.after.line_count, line + LINES))
    code = "".join(edit.after.line_text(number)[:LONGEST] + "\n" for number in numbers)
    before, after = (
        engine.scores(ScoreRequest(Context(above=shown + "\n"), "", (code,)))[0]
        for shown in (edit.lines_before, edit.lines_after)
    )
    rise = [now - was for was, now in zip(before.surprises, after.surprises, strict=True)]
    return Below(after.tokens, after.surprises, rise)


def renames(limit: int, seed: int) -> Iterator[tuple[Edit, str]]:
    """Renames with an occurrence of the old name in the lines below."""
    for case in cases(8 * limit, True, seed):
        edit = edit_of(case)
        if case.kind not in RENAMES or edit is None or not edit.replaced():
            continue
        line = edit.after.line_at(edit.new.start) + 1
        edited, final = (text.split("\n")[line : line + LINES] for text in (case.edited, case.final))
        if edited != final:
            yield edit, edit.replaced()[0][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=24, help="edits of each of the two sorts")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--model", default="small")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    engine = Engine.open(options.model, "cpu", threads=options.threads)
    wanted = list(islice(renames(options.limit, options.seed), options.limit))
    quiet = (edit_of(case) for case in cases(2 * options.limit, False, options.seed) if case.kind in QUIET)
    unwanted = list(islice((edit for edit in quiet if edit is not None), options.limit))
    read = [(below(engine, edit), name) for edit, name in wanted]
    others = [below(engine, edit) for edit in unwanted]

    def among(count: int, after: bool) -> int:
        return sum(
            any(each.names(name, index) for index in each.highest(each.after if after else each.rise, count))
            for each, name in read
        )

    figures = {
        "n": len(read),
        "rise_first": among(1, after=False),
        "rise_in_3": among(3, after=False),
        "surprise_first": among(1, after=True),
        "surprise_in_3": among(3, after=True),
        "highest_wanted": sorted(round(max(each.rise), 1) for each, _ in read),
        "highest_unwanted": sorted(round(max(each.rise), 1) for each in others),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
