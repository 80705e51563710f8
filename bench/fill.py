"""Measures how a model fills stubs, and several holes together or one after the other.

    python bench/fill.py [--stubs 200] [--holes 40] [--model embedded] [--seed 0]

The functions come from packages outside the training corpus. `stubs`: functions whose body is one line after an
optional docstring; a placeholder in one of five forms replaces the line, and the action fills it. `holes`: functions
with 2, 3 and 4 missing lines, never neighbours, that fit into one canvas with the two lines above. Together: one canvas
with all holes. In turn: a canvas for each hole in text order, with the earlier fills pinned and `...` for the later
lines. `author`: the author's line in place of the model's, as the upper bound. Exact match ignores indentation; first
line is the exact match of the fill's first line. Milliseconds are the engine's, with one thread: medians of the sum
over a function's holes. The last line is JSON.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from itertools import islice, pairwise

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.silence import held_out_texts
from dgls.change.fill import fill, filled, packed
from dgls.change.passage import Passage, Replacement, Room, applied, carry_out, moved
from dgls.change.stubs.finding import stub_at
from dgls.change.stubs.layout import Stub
from dgls.change.task import Action, Task
from dgls.code.document import Document, Span
from dgls.code.syntax import parse
from dgls_engine.engine import Engine
from dgls_engine.types import Fill, Infill, Limits, Timings
from dgls_engine.weights.loader import load

FORMS = {
    "pass": "{indent}pass",
    "...": "{indent}...",
    "raise": "{indent}raise NotImplementedError",
    "TODO": "{indent}# TODO",
    "TODO, pass": "{indent}# TODO: implement this\n{indent}pass",
}
_TRIES = 10  # draws of lines until they fit into a canvas together
_REFUSAL = "NotImplementedError"  # a line with it is a placeholder itself
_CHARS = 8  # rough upper bound of a token's characters
_CODE = frozenset("()[]{}=:.,_")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Case:
    """A document in which stubs replace `answers`; `form` is the placeholder's form."""

    document: Document
    stubs: tuple[Stub, ...]
    answers: tuple[str, ...]
    form: str = "..."


@dataclass(frozen=True, slots=True)
class Attempt:
    """The fills of one case, without indentation; "" for a stub without a fill."""

    case: Case
    fills: tuple[str, ...]
    ms: float


@dataclass(frozen=True, slots=True)
class Row:
    """Shares of the holes, from 0 to 1; `all_right` is a share of the cases."""

    cases: int
    exact_match: float
    first_line: float
    similarity: float
    none: float
    all_right: float
    ms_p50: float


class Model:
    """Fills passages and adds up the milliseconds."""

    def __init__(self, name: str, seed: int) -> None:
        torch.set_num_threads(1)
        self._loaded = load(name, "cpu")
        self._engine = Engine(self._loaded)
        self._seed = seed
        self.ms = 0.0

    @property
    def room(self) -> Room:
        return Room.of(self._loaded.profile, lambda text: len(self._loaded.tokenizer.encode(text)))

    def __call__(self, passage: Passage) -> Infill:
        started = time.perf_counter()
        *_, infill = self._engine.infill(passage.request("source.py", Limits(), self._seed))
        self.ms += (time.perf_counter() - started) * 1000
        assert isinstance(infill, Infill)
        return infill


class Author:
    """Answers with the author's text in place of a model: the upper bound."""

    ms = 0.0

    def __init__(self, case: Case) -> None:
        self._answers = list(case.answers)

    def __call__(self, passage: Passage) -> Infill:
        texts = tuple(self._answers.pop(0) + "\n" for _ in passage.gaps)
        return Infill(tuple(Fill(text, (), None, 1.0) for text in texts), 0, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)


def functions(text: str) -> Iterator[Function]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def single_lines(text: str, statements: Sequence[ast.stmt]) -> Iterator[tuple[int, str]]:
    """The lines (from 0) that hold exactly one simple statement, and their code."""
    lines = text.split("\n")
    for statement in statements:
        code = lines[statement.lineno - 1].strip()
        simple = isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr | ast.Return | ast.Raise)
        one_line = statement.lineno == statement.end_lineno
        alone = one_line and code == (ast.get_source_segment(text, statement) or "").strip()
        if (
            simple
            and alone
            and 4 <= len(code) <= 90
            and not _CODE.isdisjoint(code)
            and code[0] not in "\"'"
            and _REFUSAL not in code
        ):
            yield statement.lineno - 1, code


def one_stub(text: str, function: Function, form: str) -> Case | None:
    """The function with a placeholder in place of its only line; None if that does not make it a stub."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    code_lines = list(single_lines(text, body))
    if len(body) != 1 or not code_lines:
        return None
    lines = text.split("\n")
    line, code = code_lines[0]
    if line + 1 == function.lineno:
        return None
    indent = lines[line][: -len(lines[line].lstrip())]
    lines[line] = FORMS[form].format(indent=indent)
    document = Document("file:///source.py", 1, "python", "\n".join(lines))
    offset = document.line_end(line)
    stub = stub_at(document, offset, parse(document, offset))
    return None if stub is None else Case(document, (stub,), (code,), form)


def several_holes(text: str, function: Function, count: int, room: Room, chance: random.Random) -> Case | None:
    """The function with `...` in place of `count` lines; None if no draw of lines fits into one canvas."""
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function]
    code_lines, lines = sorted(single_lines(text, statements)), text.split("\n")
    for _ in range(_TRIES if len(code_lines) >= count else 0):
        first = chance.randrange(len(code_lines) - count + 1)
        chosen = sorted(chance.sample(code_lines[first : first + 2 * count], count))
        apart = all(later[0] - earlier[0] > 1 for earlier, later in pairwise(chosen))
        pinned = sum(map(len, lines[chosen[0][0] : chosen[-1][0]])) - sum(len(code) for _, code in chosen[:-1])
        if apart and pinned < room.hole_tokens * _CHARS:
            case = _without(lines, chosen)
            if len(list(packed(case.document, case.stubs, room))) == 1:
                return case
    return None


def _without(lines: Sequence[str], chosen: Sequence[tuple[int, str]]) -> Case:
    remaining = list(lines)
    for line, code in chosen:
        remaining[line] = remaining[line].replace(code, "...")
    document = Document("file:///source.py", 1, "python", "\n".join(remaining))
    ends = [(line, document.line_end(line)) for line, _ in chosen]
    stubs = [Stub(document.line_start(max(0, at - 2)), Span(end - 3, end), "", "", None) for at, end in ends]
    return Case(document, tuple(stubs), tuple(code for _, code in chosen))


def sampled(
    texts: Sequence[str], count: int, chance: random.Random, make: Callable[[str, Function], Case | None]
) -> list[Case]:
    """`count` cases, at most two from one file."""
    sample: list[Case] = []
    for text in chance.sample(texts, len(texts)):
        candidates = list(functions(text))
        chance.shuffle(candidates)
        cases = (case for function in candidates if (case := make(text, function)) is not None)
        sample += islice(cases, 2)
        if len(sample) >= count:
            break
    return sample[:count]


def filled_stub(case: Case, room: Room, model: Model | Author) -> Attempt:
    model.ms = 0.0
    (stub,) = case.stubs
    task = Task(Action.FILL, Span(stub.span.end, stub.span.end))
    syntax = parse(case.document, stub.span.end)
    outcome = carry_out(fill(task, case.document, room, syntax), model)
    return Attempt(case, _codes(case, outcome.replacements), model.ms)


def together(case: Case, room: Room, model: Model | Author) -> Attempt:
    model.ms = 0.0
    outcome = carry_out(filled(case.document, case.stubs, room, keep_broken=False), model)
    return Attempt(case, _codes(case, outcome.replacements), model.ms)


def in_turn(case: Case, room: Room, model: Model | Author) -> Attempt:
    model.ms = 0.0
    done: list[Replacement] = []
    for stub in case.stubs:
        document, span = applied(case.document, done), moved(stub.span, done)
        start = moved(Span(stub.start, stub.start), done).start
        one = replace(stub, start=start, span=span)
        outcome = carry_out(filled(document, [one], room, keep_broken=False), model)
        done += [Replacement(stub.span, replacement.text) for replacement in outcome.replacements]
    return Attempt(case, _codes(case, done), model.ms)


def _codes(case: Case, replacements: Sequence[Replacement]) -> tuple[str, ...]:
    by_span = {replacement.span: replacement.text for replacement in replacements}
    return tuple(textwrap.dedent(by_span.get(stub.span, "")).strip() for stub in case.stubs)


def row_of(attempts: Sequence[Attempt]) -> Row:
    pairs = [pair for attempt in attempts for pair in zip(attempt.fills, attempt.case.answers, strict=True)]
    ratios = [SequenceMatcher(None, text, answer, autojunk=False).ratio() for text, answer in pairs]
    return Row(
        len(attempts),
        _share([text == answer for text, answer in pairs]),
        _share([text.split("\n")[0] == answer for text, answer in pairs]),
        round(statistics.mean(ratios or [0.0]), 4),
        _share([not text for text, _ in pairs]),
        _share([attempt.fills == attempt.case.answers for attempt in attempts]),
        round(statistics.median([attempt.ms for attempt in attempts] or [0.0]), 1),
    )


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4) if hits else 0.0


def table_of(rows: dict[str, Row]) -> Table:
    table = Table("", *(name.replace("_", " ") for name in Row.__slots__))
    for name, row in rows.items():
        table.add_row(name, *(f"{getattr(row, figure):g}" for figure in Row.__slots__))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stubs", type=int, default=200, help="functions whose only line is a stub")
    parser.add_argument("--holes", type=int, default=40, help="functions with several holes, for each number of these")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model, console = Model(options.model, options.seed), Console(stderr=True, width=120)
    room = model.room
    texts, chance, names = held_out_texts(), random.Random(options.seed), list(FORMS)
    stubs = sampled(texts, options.stubs, chance, lambda text, node: one_stub(text, node, chance.choice(names)))
    attempts = [filled_stub(case, room, model) for case in track(stubs, "Stubs", console=console)]
    rows = {"author": row_of([filled_stub(case, room, Author(case)) for case in stubs]), "stubs": row_of(attempts)}
    rows |= {f"  {form}": row_of([attempt for attempt in attempts if attempt.case.form == form]) for form in FORMS}
    for count in (2, 3, 4):
        make = lambda text, node, count=count: several_holes(text, node, count, room, chance)  # noqa: E731
        cases = sampled(texts, options.holes, chance, make)
        pairs = [
            (together(case, room, model), in_turn(case, room, model))
            for case in track(cases, f"{count} holes", console=console)
        ]
        rows[f"{count} by the author"] = row_of([together(case, room, Author(case)) for case in cases])
        rows[f"{count} together"] = row_of([one for one, _ in pairs])
        rows[f"{count} in turn"] = row_of([other for _, other in pairs])
    console.print(table_of(rows))
    figures = {name.strip(): asdict(row) for name, row in rows.items()}
    print(json.dumps({"bench": "fill", "model": options.model, "seed": options.seed, "rows": figures}))


if __name__ == "__main__":
    main()
