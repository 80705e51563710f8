"""Measures the start from the last keystroke's draft: its effect on time and on the fills.

    python bench/warm.py [--lines 200] [--model embedded] [--policy pad] [--seed 0]

The end of a held-out line is removed, at a place where the server makes automatic suggestions. The engine fills it.
Then the author's next 1, 2 and 4 characters are typed, and with the same seed the line is filled from noise (cold) and
from the rest of the draft (warm):

    settled        the fill had ended, and the typed text agrees with it; the server starts warm
      served       the part of these that the server answers from its cache of suggestions, without the engine
      asked        the other part, whose suggestion was not shown
    interrupted    a sure draft of step 1, 2, 3, 4 or 6, as if the user typed at that step; the server starts warm
    unsure         the other drafts of these steps; the server starts cold
    contradicted   the typed text contradicts the fill, and the warm start keeps the whole fill; the server starts cold
    behind         as contradicted, but the warm start drops as many characters as were typed; the server starts cold

Similarity is difflib's ratio to the author's text. `better` and `worse` are the shares of warm fills that are more or
less similar than the cold ones, `+-` is the standard error of the mean difference. Milliseconds are means of denoising,
with one thread. Ctrl-C prints the figures so far. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast, get_args

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.silence import held_out_texts
from dgls.code.document import Document
from dgls.code.syntax import parse
from dgls.evaluation.running.run_case import similarity, without_trailing_blanks
from dgls.suggest.cache import TypedThrough
from dgls.suggest.draft import Drafting
from dgls.suggest.exchange import request_of, suggestion_of
from dgls.suggest.plan import Budget, Quiet, Region, plan
from dgls.suggest.suggestion import Suggestion
from dgls_engine.engine import Engine
from dgls_engine.profile import HolePolicy
from dgls_engine.types import Blank, Infill, Limits, Resume, Step
from dgls_engine.weights.loader import load

TYPED = (1, 2, 4)
STEPS = (1, 2, 3, 4, 6)
SHORTEST, LONGEST = 10, 90
"""The length of a line's code, in characters."""

SETTLED, SERVED, ASKED, INTERRUPTED, UNSURE, CONTRADICTED, BEHIND = (
    *("settled", "served", "asked", "interrupted", "unsure"),
    *("contradicted", "behind"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line whose code `answer` is missing between `head` and `tail`."""

    head: str
    answer: str
    tail: str

    def after(self, typed: int) -> Document:
        """The document after `typed` characters of the answer were typed."""
        return Document("file:///source.py", typed, "python", self.head + self.answer[:typed] + self.tail)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same hole filled cold and warm; `answer` is the author's."""

    answer: str
    cold: Infill
    warm: Infill


@dataclass(frozen=True, slots=True)
class Row:
    """Means and shares of 1 over `pairs`; `se` is the standard error of the mean difference of similarities."""

    pairs: int
    steps_cold: float
    steps_warm: float
    ms_cold: float
    ms_warm: float
    exact_cold: float
    exact_warm: float
    similarity_cold: float
    similarity_warm: float
    se: float
    better: float
    worse: float


class Filler:
    def __init__(self, engine: Engine, seed: int) -> None:
        self._engine, self._seed = engine, seed

    def region(self, line: Line, typed: int) -> Region | Quiet:
        document, offset = line.after(typed), len(line.head) + typed
        return plan(document, offset, Budget.of(self._engine.profile), parse(document, offset))

    def fill(self, region: Region, draft: str | None = None) -> tuple[list[Step], Infill]:
        start = Resume(draft) if draft else Blank()
        request = request_of(region, "source.py", "python", Limits(), self._seed, start=start)
        *steps, infill = self._engine.infill(request)
        assert isinstance(infill, Infill)
        return cast(list[Step], steps), infill

    def pairs(self, line: Line) -> Iterator[tuple[str, int, Pair]]:
        """For one line: (kind of the warm start, characters typed, the pair of fills)."""
        first = self.region(line, 0)
        if isinstance(first, Quiet):
            return
        steps, filled = self.fill(first)
        for typed in TYPED:
            region = self.region(line, typed)
            if isinstance(region, Quiet) or not line.answer[typed:].strip():
                continue
            cold = self.fill(region)[1]
            for kind, draft in self._starts(line, first, region, steps, filled):
                yield kind, typed, Pair(line.answer[typed:], cold, self.fill(region, draft)[1])

    def _starts(
        self, line: Line, first: Region, region: Region, steps: Sequence[Step], filled: Infill
    ) -> Iterator[tuple[str, str]]:
        before, profile = line.after(0), self._engine.profile
        typed = region.version
        ended = Drafting(before, first, profile, None)
        ended.end(filled, usable=True)
        start = self._draft_after(line, region, ended)
        if start is not None:
            yield SETTLED, start
            yield (SERVED if self._is_served(line, first, region, filled) else ASKED), start
        elif filled.finish == "stable" and filled.texts[0].strip():
            yield CONTRADICTED, filled.texts[0]
            if filled.texts[0][typed:].strip():
                yield BEHIND, filled.texts[0][typed:]
        for step in steps[:-1]:
            text = step.fills[0].text
            if step.index in STEPS and text.startswith(line.answer[:typed]) and text[typed:].strip():
                cut = Drafting(before, first, profile, None)
                cut.note(step)
                yield (UNSURE if self._draft_after(line, region, cut) is None else INTERRUPTED), text[typed:]

    def _draft_after(self, line: Line, region: Region, drafting: Drafting) -> str | None:
        return Drafting(line.after(region.version), region, self._engine.profile, drafting.last).start

    def _is_served(self, line: Line, first: Region, region: Region, filled: Infill) -> bool:
        document, calibration = line.after(0), self._engine.profile.calibration
        suggestion = suggestion_of(document, first, filled, calibration, parse(document, first.span.start))
        if not isinstance(suggestion, Suggestion) or not calibration.shows(suggestion.confidence):
            return False
        return bool(TypedThrough(document, (suggestion,)).at(line.after(region.version), region.span.start))


def lines(texts: Sequence[str], chance: random.Random) -> Iterator[Line]:
    """Lines without end. Half of them lack all code, half the code from a later character on."""
    while True:
        text = chance.choice(texts)
        document = Document("file:///source.py", 0, "python", text)
        number = chance.randrange(document.line_count)
        start, end = document.line_start(number), document.line_end(number)
        code = text[start:end].strip()
        if not SHORTEST <= len(code) <= LONGEST or code.startswith("#") or "\r" in text:
            continue
        first = text.index(code, start)
        cut = first if chance.random() < 0.5 else chance.randrange(first, first + len(code) - max(TYPED) - 2)
        yield Line(text[:cut], text[cut : first + len(code)], text[end:])


def row_of(pairs: Sequence[Pair]) -> Row:
    ratios = [
        (similarity(pair.cold.texts[0], pair.answer), similarity(pair.warm.texts[0], pair.answer)) for pair in pairs
    ]
    gains = [warm - cold for cold, warm in ratios]

    def mean(values: Sequence[float]) -> float:
        return round(statistics.mean(values), 4)

    return Row(
        len(pairs),
        mean([pair.cold.steps for pair in pairs]),
        mean([pair.warm.steps for pair in pairs]),
        mean([pair.cold.timings.denoise_ms for pair in pairs]),
        mean([pair.warm.timings.denoise_ms for pair in pairs]),
        mean([is_exact(pair.cold, pair.answer) for pair in pairs]),
        mean([is_exact(pair.warm, pair.answer) for pair in pairs]),
        mean([cold for cold, _ in ratios]),
        mean([warm for _, warm in ratios]),
        round(statistics.pstdev(gains) / len(gains) ** 0.5, 4),
        mean([gain > 0 for gain in gains]),
        mean([gain < 0 for gain in gains]),
    )


def is_exact(infill: Infill, answer: str) -> bool:
    return without_trailing_blanks(infill.texts[0]) == without_trailing_blanks(answer)


def measured(filler: Filler, count: int, seed: int) -> tuple[int, dict[str, dict[int, list[Pair]]]]:
    """The number of lines with pairs, and the pairs by kind and by characters typed. Ctrl-C ends it early."""
    pairs: dict[str, dict[int, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    source, done = lines(held_out_texts(), random.Random(seed)), 0
    progress = iter(track(range(count), "Typing", console=Console(stderr=True)))
    try:
        next(progress, None)
        while done < count:
            line_pairs = list(filler.pairs(next(source)))
            for kind, typed, pair in line_pairs:
                pairs[kind][typed].append(pair)
            if line_pairs:
                done += 1
                next(progress, None)
    except KeyboardInterrupt:
        pass
    if not pairs:
        raise SystemExit("nothing was filled; run again with more --lines")
    return done, pairs


def table_of(rows: dict[str, dict[str, Row]]) -> Table:
    heads = (("+-" if name == "se" else name.replace("_", " ")) for name in Row.__slots__)
    table = Table("start", "typed", *heads)
    for kind, rows_by_typed in rows.items():
        for typed, row in rows_by_typed.items():
            figures = (f"{getattr(row, figure):.3g}" for figure in Row.__slots__)
            table.add_row(kind if typed == "all" else "", typed, *figures)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="The next keystroke's hole, from noise and from the last draft.")
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--policy", choices=get_args(HolePolicy))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(options.model, "cpu")
    policy: HolePolicy = options.policy or loaded.profile.hole_policy
    engine = Engine(replace(loaded, profile=replace(loaded.profile, hole_policy=policy)))
    done, pairs = measured(Filler(engine, options.seed), options.lines, options.seed)
    rows = {
        kind: {"all": row_of([pair for typed_pairs in pairs[kind].values() for pair in typed_pairs])}
        | {str(typed): row_of(pairs[kind][typed]) for typed in TYPED if pairs[kind][typed]}
        for kind in (SETTLED, SERVED, ASKED, INTERRUPTED, UNSURE, CONTRADICTED, BEHIND)
        if kind in pairs
    }
    Console(stderr=True, width=170).print(table_of(rows))
    known = {"bench": "warm", "model": loaded.info.name, "policy": policy, "lines": done}
    ratios = {kind: round(row["all"].steps_cold / row["all"].steps_warm, 2) for kind, row in rows.items()}
    figures = {kind: {typed: asdict(row) for typed, row in by_typed.items()} for kind, by_typed in rows.items()}
    print(json.dumps(known | {"steps_saved_times": ratios, "kinds": figures}))


if __name__ == "__main__":
    main()
