"""Measures how often refining repairs a wrong line, and how often it breaks a right one.

    python bench/refine.py [--lines 200] [--model embedded] [--strength lightly] [--seed 0]

One token of a held-out line is corrupted: a name becomes another name of its file, an operator becomes a similar one,
or a bracket is removed, a third each. The corrupted line and the author's line are then refined as in an editor, at
each strength that editors offer, or at the given ones. By strength and kind: `repaired` is the share of corrupted lines
that become the author's, `touched` the share in which the wrong token or the missing bracket's place changes, `left`
the share that stay as they are; `broken` is the share of right lines that change. `changed` is the number of tokens
(words, blanks, single other characters) that refining changes in a corrupted line, `share` their share of the line.
Milliseconds are medians with one thread and include the prefill. Ctrl-C prints the figures so far. The last line is
JSON.
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
"""An operator becomes another one of its row."""

ALL = "all"


@dataclass(frozen=True, slots=True)
class Corruption:
    """A line with one wrong token. `wrong` replaces the line's code `right` at the offset `start` of `text`; `place` is
    the wrong token's span in `wrong`, empty if a token is missing."""

    kind: str
    text: str
    start: int
    right: str
    wrong: str
    place: Span


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one strength and kind; shares are from 0 to 1."""

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
    """A corrupted line: `text` is its refined code, `again` the refined code of the right line; `ms` is the time of the
    first."""

    case: Corruption
    text: str
    again: str
    ms: float


def corruptions(texts: Sequence[str], count: int, seed: int) -> Iterator[Corruption]:
    """`count` lines with one wrong token each, the kinds in turn."""
    chance = random.Random(seed)
    kinds: list[tuple[str, Pick]] = [("name", _name), ("operator", _operator), ("bracket", _bracket)]
    drawn = 0
    while drawn < count:
        kind, pick = kinds[drawn % len(kinds)]
        case = _corrupted(chance.choice(texts), kind, pick, chance)
        if case is not None:
            drawn += 1
            yield case


Pick = Callable[[Sequence[tokenize.TokenInfo], Sequence[tokenize.TokenInfo], random.Random], "tuple[int, str] | None"]
"""Picks a token to corrupt, from (the line's tokens, the file's tokens): its index and its replacement, or None."""


def _corrupted(text: str, kind: str, pick: Pick, chance: random.Random) -> Corruption | None:
    tokens = _tokens(text)
    lines = [token.start[0] for token in tokens if token.type == tokenize.OP or token.string in ("and", "or")]
    if not lines:
        return None
    line = chance.choice(lines)
    if any(token.start[0] != token.end[0] and token.start[0] <= line <= token.end[0] for token in tokens):
        return None  # inside a string of several lines
    line_tokens = [token for token in tokens if token.start[0] == line and token.type not in _SILENT]
    document = Document("file:///source.py", 0, "python", text)
    start, end = document.line_start(line - 1), document.line_end(line - 1)
    code = text[start:end].strip()
    picked = pick(line_tokens, tokens, chance)
    if picked is None or not 4 <= len(code) <= 90:
        return None
    index, instead = picked
    start += text[start:end].index(code)
    at = line_tokens[index].start[1] - (start - document.line_start(line - 1))
    wrong = code[:at] + instead + code[at + len(line_tokens[index].string) :]
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
    line_tokens: Sequence[tokenize.TokenInfo], file_tokens: Sequence[tokenize.TokenInfo], chance: random.Random
) -> tuple[int, str] | None:
    names = [index for index, token in enumerate(line_tokens) if _is_name(token)]
    if not names:
        return None
    index = chance.choice(names)
    other_names = sorted({token.string for token in file_tokens if _is_name(token)} - {line_tokens[index].string})
    return (index, chance.choice(other_names)) if other_names else None


def _is_name(token: tokenize.TokenInfo) -> bool:
    return token.type == tokenize.NAME and not keyword.iskeyword(token.string)


def _operator(
    line_tokens: Sequence[tokenize.TokenInfo], file_tokens: Sequence[tokenize.TokenInfo], chance: random.Random
) -> tuple[int, str] | None:
    rows = [(index, row) for index, token in enumerate(line_tokens) for row in OPERATORS if token.string in row]
    if not rows:
        return None
    index, row = chance.choice(rows)
    return index, chance.choice([operator for operator in row if operator != line_tokens[index].string])


def _bracket(
    line_tokens: Sequence[tokenize.TokenInfo], file_tokens: Sequence[tokenize.TokenInfo], chance: random.Random
) -> tuple[int, str] | None:
    brackets = [index for index, token in enumerate(line_tokens) if token.string in tuple("()[]{}")]
    return (chance.choice(brackets), "") if brackets else None


def attempt(engine: Engine, case: Corruption, strength: float, room: Room) -> Attempt:
    text, ms = refined(engine, case, case.wrong, strength, room)
    again, _ = refined(engine, case, case.right, strength, room)
    return Attempt(case, text, again, ms)


def refined(engine: Engine, case: Corruption, line: str, strength: float, room: Room) -> tuple[str, float]:
    """The line's code after the action, and the engine's milliseconds."""
    rest = case.text[case.start + len(case.right) :]
    document = Document("file:///source.py", 0, "python", case.text[: case.start] + line + rest)
    ms = 0.0

    def infill(passage: Passage) -> Infill:
        nonlocal ms
        *_, answer = engine.infill(passage.request("source.py", Limits(), seed=0))
        assert isinstance(answer, Infill)
        ms += answer.timings.prefill_ms + answer.timings.denoise_ms
        return answer

    task = Task(Action.REFINE, Span(case.start, case.start + len(line)), strength=strength)
    outcome = carry_out(start(task, document, room, parse(document, case.start)), infill)
    text = applied(document, outcome.replacements).text
    return text[case.start : len(text) - len(rest)], ms


def lexemes(line: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", line)


def changed(line: str, text: str) -> int:
    """The number of tokens that differ between the two lines; a replaced token counts once."""
    codes = difflib.SequenceMatcher(None, lexemes(line), lexemes(text), autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in codes if tag != "equal")


def touched(case: Corruption, text: str) -> bool:
    """Whether the wrong token changed, or something was inserted where a token is missing."""
    codes = difflib.SequenceMatcher(None, case.wrong, text, autojunk=False).get_opcodes()
    start, end = case.place.start, case.place.end
    edits = [(i1, i2) for tag, i1, i2, _, _ in codes if tag != "equal"]
    return any(i1 <= start <= i2 if start == end else i1 < end and start < i2 for i1, i2 in edits)


def row_of(attempts: Sequence[Attempt]) -> Row:
    counts = [changed(attempt.case.wrong, attempt.text) for attempt in attempts]

    def mean(values: Sequence[float]) -> float:
        return round(statistics.mean(values), 4)

    return Row(
        len(attempts),
        mean([attempt.text == attempt.case.right for attempt in attempts]),
        mean([touched(attempt.case, attempt.text) for attempt in attempts]),
        mean([attempt.text == attempt.case.wrong for attempt in attempts]),
        mean(counts),
        mean([count / len(lexemes(attempt.case.wrong)) for attempt, count in zip(attempts, counts, strict=True)]),
        mean([attempt.again != attempt.case.right for attempt in attempts]),
        round(statistics.median(attempt.ms for attempt in attempts), 1),
    )


def measured(
    engine: Engine, cases: Sequence[Corruption], room: Room, strengths: Sequence[str]
) -> dict[str, list[Attempt]]:
    """The attempts at each of the `strengths`; Ctrl-C ends it early."""
    attempts: dict[str, list[Attempt]] = {name: [] for name in strengths}
    try:
        for case in track(cases, "Refining", console=Console(stderr=True)):
            case_attempts = {name: attempt(engine, case, STRENGTHS[name], room) for name in strengths}
            for name, result in case_attempts.items():
                attempts[name].append(result)
    except KeyboardInterrupt:
        pass
    if not all(attempts.values()):
        raise SystemExit("no line was refined; run again with more --lines")
    return attempts


def rows_of(attempts: Sequence[Attempt]) -> dict[str, Row]:
    """A row for all attempts, and one for each kind."""
    kinds = dict.fromkeys(attempt.case.kind for attempt in attempts)
    return {ALL: row_of(attempts)} | {
        kind: row_of([attempt for attempt in attempts if attempt.case.kind == kind]) for kind in kinds
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
    parser.add_argument("--strength", action="append", choices=[*STRENGTHS], help="may be repeated; default: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(options.model, "cpu")

    room = Room.of(loaded.profile, lambda text: len(loaded.tokenizer.encode(text)))
    cases = list(corruptions(held_out_texts(), options.lines, options.seed))
    attempts = measured(Engine(loaded), cases, room, options.strength or [*STRENGTHS])
    strengths = {name: rows_of(results) for name, results in attempts.items()}
    Console(stderr=True, width=140).print(table_of(strengths))
    shares = [rows[ALL].share for rows in strengths.values()]
    figures = {name: {kind: asdict(row) for kind, row in rows.items()} for name, rows in strengths.items()}
    known = {"bench": "refine", "model": loaded.info.name, "lines": min(map(len, attempts.values()))}
    print(json.dumps(known | {"monotone": shares == sorted(shares), "strengths": figures}))


if __name__ == "__main__":
    main()
