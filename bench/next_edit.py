"""Measures next edits on held-out packages: edits whose next one is known, and edits that ask for none.

    python bench/next_edit.py [--limit 300] [--seed 0] [--model small] [--invented] [--words] [--no-model]
                               [--verbose]

Of `--limit` edits of each sort: `found`, the share of wanted edits with a proposal at a place that has to change;
`right`, the share of these whose line is what the authors wrote; `false_per_100`, proposals per 100 edits that ask for
none; `astray`, proposals at a wrong place after wanted edits; `p50_ms`, the median time of wanted edits. The same for
two baselines without a model: `every other occurrence`, which replaces the edit's old word by its new one at the
nearest place in the file, and `planner alone`, which takes the planner's first place. With `--words` the planner has no
grammar. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.edits.cases import cases
from bench.edits.source import Case
from dgls.code.document import Document, Span
from dgls.code.notebook import Neighbour, view_of
from dgls.next_edit.cells import places_in_view
from dgls.next_edit.edit import Edit, Followed, edit_between
from dgls.next_edit.place import Place, by_line, word_spans
from dgls.next_edit.places import LONGEST, nearest, places
from dgls.next_edit.search import search
from dgls.next_edit.words import words
from dgls_engine import Engine
from dgls_engine.types import Infill, InfillRequest, Score

OURS, PLANNER, EVERY = "next edit", "planner alone", "every other occurrence"
Planner = Callable[[Edit, Case], Sequence[Place]]
Proposer = Callable[[Edit, Case], Place | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    case: Case
    place: Place | None
    ms: float

    @property
    def found(self) -> bool:
        return self.place is not None and self._line != self.place.line_text

    @property
    def right(self) -> bool:
        return self.found and self.place is not None and self.place.new_line == self._line

    @property
    def false(self) -> bool:
        return self.place is not None and not self.found

    @property
    def _line(self) -> str:
        """The line of the place, where the edit leads."""
        assert self.place is not None
        finals = {uri(self.case, each.path): each.final for each in self.case.others}
        return finals.get(self.place.document.uri, self.case.final).split("\n")[self.place.line]


def uri(case: Case, path: str) -> str:
    """Of another file; of another cell, if the case is one."""
    return f"file:///{path}" if case.cell is None else f"vscode-notebook-cell:/{case.path}.ipynb#{path}"


def places_by_rules(edit: Edit, case: Case) -> list[Place]:
    others = [Document(uri(case, each.path), 1, "python", each.now) for each in case.others]
    if case.cell is None:
        return places(edit, others)
    above, below = map(Neighbour, others[: case.cell]), map(Neighbour, others[case.cell :])
    view = partial(view_of, above=list(above), below=list(below), reach=LONGEST)
    return places_in_view(edit, view, [], (edit.after.uri, edit.new.start))


def places_without_grammar(edit: Edit, case: Case) -> list[Place]:
    return nearest(edit, words(edit))


def with_model(engine: Engine, planner: Planner) -> Proposer:
    def propose(edit: Edit, case: Case) -> Place | None:
        asking = search(edit, planner(edit, case), case.path.rpartition("/")[2])
        answer: Sequence[Score] | Infill | None = None
        try:
            while True:
                request = next(asking) if answer is None else asking.send(answer)
                if isinstance(request, InfillRequest):
                    *_, last = engine.infill(request)
                    assert isinstance(last, Infill)
                    answer = last
                else:
                    answer = engine.scores(request)
        except StopIteration as over:
            place: Place | None = over.value
            return place

    return propose


def alone(planner: Planner) -> Proposer:
    return lambda edit, case: next(iter(planner(edit, case)), None)


def every_other_occurrence(edit: Edit, case: Case) -> Place | None:
    replaced = edit.replaced()
    if not replaced or not re.fullmatch(r"\w+", replaced[0][0]):
        return None
    old, new, at = replaced[0]
    others = [Document(uri(case, each.path), 1, "python", each.now) for each in case.others]
    for document in (edit.after, *others):
        spans = list(word_spans(document, old, Span(0, len(document.text))))
        found = list(by_line(document, spans, new, "rename"))
        if found:
            return min(found, key=lambda place: abs(place.span.start - at) if document is edit.after else 0)
    return None


def outcome(case: Case, propose: Proposer) -> Outcome:
    own = uri(case, case.path if case.cell is None else str(case.cell))
    base, edited = Document(own, 1, "python", case.base), Document(own, 2, "python", case.edited)
    first = edit_between(Document(own, 0, "python", case.earlier), base) if case.earlier is not None else None
    followed = tuple(Followed(own, Span(*cut)) for cut in case.followed)
    edit = edit_between(base, edited, followed, first.replacement if first is not None else None)
    started = time.perf_counter()
    place = propose(edit, case) if edit is not None else None
    return Outcome(case, place, (time.perf_counter() - started) * 1000)


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    wanted = [each for each in outcomes if each.case.wanted]
    others = [each for each in outcomes if not each.case.wanted]
    found = [each for each in wanted if each.found]
    return {
        "n": len(outcomes),
        "found": _share(len(found), len(wanted)),
        "right": _share(sum(each.right for each in found), len(found)),
        "false_per_100": None if not others else round(100 * sum(each.false for each in others) / len(others), 2),
        "astray": sum(each.false for each in wanted),
        "p50_ms": round(median(each.ms for each in wanted or others)),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def by_kind(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    kinds = dict.fromkeys(each.case.kind for each in outcomes)
    return {kind: figures([each for each in outcomes if each.case.kind == kind]) for kind in kinds}


def table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    shown = Table(title, *next(iter(rows.values())))
    for name, row in rows.items():
        shown.add_row(name, *("" if figure is None else f"{figure:g}" for figure in row.values()))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=300, help="edits of each of the two sorts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--invented", action="store_true", help="wanted edits lead away from the authors' code")
    parser.add_argument("--words", action="store_true", help="find places without a grammar")
    parser.add_argument("--no-model", action="store_true", help="only the baselines")
    parser.add_argument("--verbose", action="store_true", help="show each proposal that is not right")
    options = parser.parse_args()
    every = [case for wanted in (True, False) for case in cases(options.limit, wanted, options.seed, options.invented)]
    if options.words:
        every = [case for case in every if not case.others]  # other documents are read by rules alone
    planner = places_without_grammar if options.words else places_by_rules
    proposers: dict[str, Proposer] = {PLANNER: alone(planner), EVERY: every_other_occurrence}
    if not options.no_model:
        proposers = {OURS: with_model(Engine.open(options.model, "cpu", threads=options.threads), planner), **proposers}
    results: dict[str, list[Outcome]] = {name: [] for name in proposers}
    console = Console(stderr=True)
    for case in track(every, console=console):
        for name, propose in proposers.items():
            results[name].append(outcome(case, propose))
    first = next(iter(results))
    if options.verbose:
        for each in results[first]:
            if each.place is not None and not each.right:
                console.print(
                    each.case.kind, each.place.kind, each.place.line_text, "->", each.place.new_line, markup=False
                )
    rows = {name: figures(outcomes) for name, outcomes in results.items()}
    console.print(table("", rows), table(first, by_kind(results[first])))
    ours = rows[first]
    print(
        json.dumps(
            {
                **ours,
                "model": None if options.no_model else options.model,
                "baselines": rows,
                "kinds": by_kind(results[first]),
            }
        )
    )


if __name__ == "__main__":
    main()
