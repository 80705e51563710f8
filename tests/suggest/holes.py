"""Holes cut from the packages that the evaluation keeps apart, and what a bad model might fill them with.

Deterministic for the same packages and seed; part of the test environment, so nothing is committed of them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench.silence import held_out_texts

_LONGEST = 16_000  # characters of a file, to be quick


@dataclass(frozen=True, slots=True)
class Hole:
    left: str
    answer: str
    right: str


def cut_holes(count: int, seed: int) -> list[Hole]:
    """Half of them in files that are indented with tabs."""
    chance = random.Random(seed)
    texts = [text for text in held_out_texts() if len(text) <= _LONGEST and "\t" not in text and "\r" not in text]
    holes: list[Hole] = []
    while len(holes) < count:
        text = chance.choice(texts)
        hole = chance.choice([_line_end, _whole_lines, _inside_line])(
            _with_tabs(text) if len(holes) % 2 else text, chance
        )
        if hole is not None:
            holes.append(hole)
    return holes


def _with_tabs(text: str) -> str:
    return re.sub(r"^(?: {4})+", lambda match: "\t" * (len(match[0]) // 4), text, flags=re.MULTILINE)


def _a_line(text: str, chance: random.Random) -> tuple[int, int, int]:
    """Start, start of the code and end of a random line that is not blank."""
    match = chance.choice(list(re.finditer(r"(?m)^[ \t]*(?=\S).*$", text)))
    return match.start(), match.end() - len(match[0].lstrip()), match.end()


def _line_end(text: str, chance: random.Random) -> Hole | None:
    _, code, end = _a_line(text, chance)
    if end - code < 3:
        return None
    at = chance.randrange(code + 1, end)
    return Hole(text[:at], text[at:end], text[end:])


def _whole_lines(text: str, chance: random.Random) -> Hole | None:
    """Up to five lines, their indentation left standing or not."""
    start, code, _ = _a_line(text, chance)
    lines = text[code:].split("\n")[: chance.randint(1, 5)]
    answer = "\n".join(lines).rstrip()
    at = chance.choice([start, code])
    return Hole(text[:at], text[at:code] + answer, text[code + len(answer) :])


def _inside_line(text: str, chance: random.Random) -> Hole | None:
    _, code, end = _a_line(text, chance)
    if end - code < 4:
        return None
    at, to = sorted(chance.sample(range(code, end), 2))
    return Hole(text[:at], text[at:to], text[to:])


def fills(answer: str, right: str, other: str, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Named fills, the author's own first; `other` is another hole's."""
    yield "the answer", answer
    yield "and what follows", answer + right[: chance.randint(1, 200)]
    yield "and the next lines", answer + "\n" + "\n".join(right.lstrip("\n").split("\n")[: chance.randint(1, 4)])
    yield "closed too often", answer + chance.choice([")", "]", "}", "))", ")]", '"', "'", ":", "):"])
    yield "twice", answer + answer
    yield "twice, on two lines", answer + "\n" + answer
    yield "half", answer[: len(answer) // 2]
    yield "lacking its first letter", answer[1:]
    yield "too deep", _moved(answer, "    ")
    yield "too deep by one", _moved(answer, " ")
    yield "not deep enough", re.sub(r"(?m)^[ \t]{1,4}", "", answer)
    yield "tabs for spaces", re.sub(r"(?m)^(?: {4})+", lambda match: "\t" * (len(match[0]) // 4), answer)
    yield "spaces for tabs", re.sub(r"(?m)^\t+", lambda match: "  " * len(match[0]), answer)
    yield "another's", other
    yield "and another's", answer + "\n" + other
    yield "soup", _soup(chance, answer + other + right[:300])


def _moved(text: str, by: str) -> str:
    return by + text.replace("\n", "\n" + by)


def _soup(chance: random.Random, near: str) -> str:
    tokens = re.findall(r"\w+|\s+|[^\w\s]", near) or ["x"]
    return "".join(chance.choice(tokens) for _ in range(chance.randint(1, 12)))
