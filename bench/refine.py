"""Refining a line: how often what is wrong with it is repaired, and how often a line that was right is broken.

    python bench/refine.py [--lines 200] [--model embedded] [--seed 0]

One token of a held-out line is corrupted: a name becomes another one of its file, an operator another one of its
kind, or a bracket goes missing, a third each. The line's code is then refined as in an editor, at each strength that
is offered there; so is the line as its author wrote it. Per strength and kind: `repaired`
is the share of corrupted lines that are their author's again, `touched` of those where the corrupted token or a missing
bracket's place changed at all, `left` of those that came back as they were; `broken` is the share of right lines
that changed. `changed` are tokens (words, blanks, single other characters) that differ between a corrupted line and
what became of it, `share` the part of the line they are. Milliseconds are medians with one thread, prefill included.
Ctrl-C prints what is known. The last line is JSON.
"""

from __future__ import annotations

import argparse
import difflib
import io
import json
import keyword
import random
import re
import statistics
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.silence import held_out_texts
from dgls.change.offer import start
from dgls.change.passage import Passage, Room, applied, carry_out
from dgls.change.task import STRENGTHS, Action, Task
from dgls.code.document import Document, Span
from dgls.code.syntax import parse
from dgls_engine.engine import Engine
from dgls_engine.types import Infill, Limits
from dgls_engine.weights.loader import load

OPERATORS = (
    ("==", "!=", "<", ">", "<=", ">=", "is", "in"),
    ("+", "-", "*", "/", "//", "%", "|", "&"),
    ("and", "or"),
    ("=", "+=", "-=", "*=", "|="),
    (".", ","),
)
"""Each becomes another one of its row."""

ALL = "all"


@dataclass(frozen=True, slots=True)
class Corruption:
    """`wrong` stands in the text for the line's code `right`, from the offset `start` on; `place` is what is wrong in
    it, empty where something is missing."""

    kind: str
    text: str
    start: int
    right: str
    wrong: str
    place: Span


@dataclass(frozen=True, slots=True)
class Row:
    """One strength's and kind's figures; shares of 1."""

    lines: int
    repaired: float
    touched: float
    left: float
    changed: float
    share: float
    broken: float
    ms_p50: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """A corrupted line, what became of it and, in `again`, of the right one; the first one's milliseconds."""

    case: Corruption
    text: str
    again: str
    ms: float


def corruptions(texts: Sequence[str], count: int, seed: int) -> Iterator[Corruption]:
    """So many lines with one wrong token each, the kinds in turn."""
    chance = random.Random(seed)
    kinds: list[tuple[str, Pick]] = [("name", _name), ("operator", _operator), ("bracket", _bracket)]
    found = 0
    while found < count:
        kind, pick = kinds[found % len(kinds)]
        case = _corrupted(chance.choice(texts), kind, pick, chance)
        if case is not None:
            found += 1
            yield case


Pick = Callable[[Sequence[tokenize.TokenInfo], Sequence[tokenize.TokenInfo], random.Random], "tuple[int, str] | None"]
"""From a line's tokens and the file's: which one of the line becomes what; None where none can."""


def _corrupted(text: str, kind: str, pick: Pick, chance: random.Random) -> Corruption | None:
    tokens = _tokens(text)
    lines = [token.start[0] for token in tokens if token.type == tokenize.OP or token.string in ("and", "or")]
    if not lines:
        return None
    line = chance.choice(lines)
    if any(token.start[0] != token.end[0] and token.start[0] <= line <= token.end[0] for token in tokens):
        return None  # in a text of several lines
    own = [token for token in tokens if token.start[0] == line and token.type not in _SILENT]
    document = Document("file:///source.py", 0, "python", text)
    start, end = document.line_start(line - 1), document.line_end(line - 1)
    code = text[start:end].strip()
    picked = pick(own, tokens, chance)
    if picked is None or not 4 <= len(code) <= 90:
        return None
    index, instead = picked
    start += text[start:end].index(code)
    at = own[index].start[1] - (start - document.line_start(line - 1))
    wrong = code[:at] + instead + code[at + len(own[index].string) :]
    if wrong != wrong.strip():
        return None
    return Corruption(kind, text, start, code, wrong, Span(at, at + len(instead)))


_SILENT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    try:
        return list(tokenize.generate_tokens(io.StringIO(text, newline="").readline))
    except (tokenize.TokenError, SyntaxError):
        return []


def _name(
    own: Sequence[tokenize.TokenInfo], others: Sequence[tokenize.TokenInfo], chance: random.Random
) -> tuple[int, str] | None:
    names = [index for index, token in enumerate(own) if _is_name(token)]
    if not names:
        return None
    index = chance.choice(names)
    instead = sorted({token.string for token in others if _is_name(token)} - {own[index].string})
    return (index, chance.choice(instead)) if instead else None


def _is_name(token: tokenize.TokenInfo) -> bool:
    return token.type == tokenize.NAME and not keyword.iskeyword(token.string)


def _operator(
    own: Sequence[tokenize.TokenInfo], others: Sequence[tokenize.TokenInfo], chance: random.Random
) -> tuple[int, str] | None:
    rows = [(index, row) for index, token in enumerate(own) for row in OPERATORS if token.string in row]
    if not rows:
        return None
    index, row = chance.choice(rows)
    return index, chance.choice([operator for operator in row if operator != own[index].string])


def _bracket(
    own: Sequence[tokenize.TokenInfo], others: Sequence[tokenize.TokenInfo], chance: random.Random
) -> tuple[int, str] | None:
    brackets = [index for index, token in enumerate(own) if token.string in tuple("()[]{}")]
    return (chance.choice(brackets), "") if brackets else None


def attempt(engine: Engine, case: Corruption, strength: float, room: Room) -> Attempt:
    text, ms = refined(engine, case, case.wrong, strength, room)
    again, _ = refined(engine, case, case.right, strength, room)
    return Attempt(case, text, again, ms)


def refined(engine: Engine, case: Corruption, line: str, strength: float, room: Room) -> tuple[str, float]:
    """What the action makes of the line, and the engine's milliseconds."""
    rest = case.text[case.start + len(case.right) :]
    document = Document("file:///source.py", 0, "python", case.text[: case.start] + line + rest)
    spent = 0.0

    def infill(passage: Passage) -> Infill:
        nonlocal spent
        *_, found = engine.infill(passage.request("source.py", Limits(), seed=0))
        assert isinstance(found, Infill)
        spent += found.timings.prefill_ms + found.timings.denoise_ms
        return found

    task = Task(Action.REFINE, Span(case.start, case.start + len(line)), strength=strength)
    outcome = carry_out(start(task, document, room, parse(document, case.start)), infill)
    text = applied(document, outcome.replacements).text
    return text[case.start : len(text) - len(rest)], spent


def lexemes(line: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", line)


def changed(line: str, text: str) -> int:
    """How many of both lines' tokens have no like in the other, replaced ones counted once."""
    codes = difflib.SequenceMatcher(None, lexemes(line), lexemes(text), autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in codes if tag != "equal")


def touched(case: Corruption, text: str) -> bool:
    """Did what is wrong in the line change, or something appear where a token is missing?"""
    codes = difflib.SequenceMatcher(None, case.wrong, text, autojunk=False).get_opcodes()
    start, end = case.place.start, case.place.end
    edits = [(i1, i2) for tag, i1, i2, _, _ in codes if tag != "equal"]
    return any(i1 <= start <= i2 if start == end else i1 < end and start < i2 for i1, i2 in edits)


def row_of(attempts: Sequence[Attempt]) -> Row:
    counts = [changed(own.case.wrong, own.text) for own in attempts]

    def mean(values: Sequence[float]) -> float:
        return round(statistics.mean(values), 4)

    return Row(
        len(attempts),
        mean([own.text == own.case.right for own in attempts]),
        mean([touched(own.case, own.text) for own in attempts]),
        mean([own.text == own.case.wrong for own in attempts]),
        mean(counts),
        mean([count / len(lexemes(own.case.wrong)) for own, count in zip(attempts, counts, strict=True)]),
        mean([own.again != own.case.right for own in attempts]),
        round(statistics.median(own.ms for own in attempts), 1),
    )


def measured(engine: Engine, cases: Sequence[Corruption], room: Room) -> dict[str, list[Attempt]]:
    """The attempts at each strength; Ctrl-C ends it early."""
    attempts: dict[str, list[Attempt]] = {name: [] for name in STRENGTHS}
    try:
        for case in track(cases, "Refining", console=Console(stderr=True)):
            found = {name: attempt(engine, case, strength, room) for name, strength in STRENGTHS.items()}
            for name, own in found.items():
                attempts[name].append(own)
    except KeyboardInterrupt:
        pass
    if not attempts["more"]:
        raise SystemExit("no line was refined")
    return attempts


def rows_of(attempts: Sequence[Attempt]) -> dict[str, Row]:
    """One for all, and one a kind."""
    kinds = dict.fromkeys(own.case.kind for own in attempts)
    return {ALL: row_of(attempts)} | {
        kind: row_of([own for own in attempts if own.case.kind == kind]) for kind in kinds
    }


def table_of(strengths: dict[str, dict[str, Row]]) -> Table:
    table = Table("strength", "kind", *(name.replace("_", " ") for name in Row.__slots__))
    for strength, rows in strengths.items():
        for kind, row in rows.items():
            figures = (f"{getattr(row, figure):g}" for figure in Row.__slots__)
            table.add_row(strength if kind == ALL else "", kind, *figures)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Lines with one wrong token, and right ones, refined.")
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(options.model, "cpu")

    room = Room.of(loaded.profile, lambda text: len(loaded.tokenizer.encode(text)))
    cases = list(corruptions(held_out_texts(), options.lines, options.seed))
    attempts = measured(Engine(loaded), cases, room)
    strengths = {name: rows_of(own) for name, own in attempts.items()}
    Console(stderr=True, width=140).print(table_of(strengths))
    shares = [rows[ALL].share for rows in strengths.values()]
    figures = {name: {kind: asdict(row) for kind, row in rows.items()} for name, rows in strengths.items()}
    known = {"bench": "refine", "model": loaded.info.name, "lines": len(attempts["more"])}
    print(json.dumps(known | {"monotone": shares == sorted(shares), "strengths": figures}))


if __name__ == "__main__":
    main()
