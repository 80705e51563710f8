"""Training examples: holes in real code, in the layout of the engine's requests.

    prompt  = <|below|> code below the canvas <|above|> code above it       (encoder, causal)
    canvas  = before | hole, filled up with PAD | after                     (decoder, bidirectional)

A hole is the rest of a line, a span inside a line, whole lines, or the whole canvas (nothing pinned). It may start
inside a word: the last token before the hole is freed if other tokens extend it, as in token healing at run time.
Everything here is a pure function of a random generator and the corpus.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from dgls_engine.prompt.formats import ABOVE, BELOW
from dgls_engine.text.tokenizer import Tokenizer
from dgls_training.corpus import Source

Kind = Literal["rest-of-line", "inside-line", "lines", "whole-canvas"]
KINDS: tuple[Kind, ...] = ("rest-of-line", "inside-line", "lines", "whole-canvas")
HOLES_FIRST, HOLES_LAST = (0.15, 0.07, 0.08, 0.7), (0.5, 0.15, 0.08, 0.27)
"""Weights of the kinds in the first and in the second half of a run. A whole canvas trains five times as many tokens in
a pass as a hole, which helps at the start; holes are the task at run time. (`Denoising` pins parts of a whole canvas.)
"""
EXACT_SHARE = 0.25
"""The share of holes that are exactly as long as their text; the others end in PAD."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """In tokens: the padded prompt and canvas of a batch, and the longest hole."""

    prompt: int = 128
    canvas: int = 96
    hole: int = 48


@dataclass(frozen=True, slots=True)
class Example:
    """Clean token ids; `canvas[hole_start:hole_end]` is what the model must denoise. `answer` is the hole's text."""

    prompt: list[int]
    canvas: list[int]
    hole_start: int
    hole_end: int
    answer: str


class Cutter:
    """Draws examples from a corpus. A file's probability is proportional to its length."""

    def __init__(self, sources: Sequence[Source], tokenizer: Tokenizer, sizes: Sizes) -> None:
        self._texts = [source.text for source in sources]
        self._ends = list(accumulate(len(text) for text in self._texts))
        self._tokenizer = tokenizer
        self._sizes = sizes
        self._below, self._above = tokenizer.id_of(BELOW), tokenizer.id_of(ABOVE)
        self._newline = tokenizer.encode("\n")[0]

    def draw(self, rng: random.Random, kind: Kind | None = None, done: float = 1.0) -> Example:
        """Draw an example of the given `kind`, or of a random kind with the weights for the run's progress `done`."""
        weights = HOLES_FIRST if done < 0.5 else HOLES_LAST
        while True:
            text = self._texts[bisect_right(self._ends, rng.randrange(self._ends[-1]))]
            chosen = kind or rng.choices(KINDS, weights)[0]
            span = _span(text, chosen, rng)
            example = span and self._lay_out(text, *span, chosen, rng)
            if example:
                return example

    def _lay_out(self, text: str, start: int, end: int, kind: Kind, rng: random.Random) -> Example | None:
        encode, sizes = self._tokenizer.encode, self._sizes
        prefix = encode(_tail(text[:start], 6 * sizes.prompt))
        suffix = encode(text[end : end + 3 * sizes.prompt])
        if kind == "whole-canvas":
            hole = encode(text[start:end])[: sizes.canvas]
            length = len(hole)
        else:
            freed = self._freed(prefix)
            if freed:
                prefix.pop()
            hole = encode((freed + text[start:end].encode()).decode(errors="replace"))
            if len(hole) > sizes.hole or not self._tokenizer.token_bytes(hole[0]).startswith(freed):
                return None
            length = _hole_length(len(hole), sizes.hole, rng)
        room = sizes.canvas - length
        after = self._whole_lines(suffix, int(room * rng.uniform(0.2, 0.5)), keep_start=True)
        before = self._whole_lines(prefix, room - len(after), keep_start=False)
        prompt = self._prompt(prefix[: len(prefix) - len(before)], suffix[len(after) :], rng)
        canvas = before + hole + [self._tokenizer.pad_id] * (length - len(hole)) + after
        return Example(prompt, canvas, len(before), len(before) + length, text[start:end])

    def _freed(self, prefix: list[int]) -> bytes:
        """The bytes of the last token if other tokens extend it, so that it is freed; else b""."""
        last = self._tokenizer.token_bytes(prefix[-1]) if prefix else b""
        return last if last and len(self._tokenizer.extending(last)) > 1 else b""

    def _whole_lines(self, ids: list[int], room: int, keep_start: bool) -> list[int]:
        """At most `room` ids next to the hole, cut at a line border if at least half of them remain."""
        kept = ids[:room] if keep_start else ids[max(0, len(ids) - room) :]
        if len(kept) == len(ids) or not kept:
            return kept
        borders = [i + 1 for i, id in enumerate(kept) if id == self._newline]
        if keep_start and borders and borders[-1] >= len(kept) // 2:
            return kept[: borders[-1]]
        if not keep_start and borders and borders[0] <= len(kept) // 2:
            return kept[borders[0] :]
        return kept

    def _prompt(self, above: list[int], below: list[int], rng: random.Random) -> list[int]:
        below = below[: rng.randrange(0, self._sizes.prompt // 3)]
        room = self._sizes.prompt - len(below) - 2
        return [self._below, *below, self._above, *above[max(0, len(above) - room) :]]


def _hole_length(content: int, longest: int, rng: random.Random) -> int:
    if rng.random() < EXACT_SHARE:
        return content
    return min(longest, 32) if rng.random() < 0.4 and content <= 32 else rng.randint(content, longest)


def _span(text: str, kind: Kind, rng: random.Random) -> tuple[int, int] | None:
    """The hole's (start, end) in `text`, or None if this draw gives no usable hole."""
    at = rng.randrange(len(text))
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    if kind == "whole-canvas":
        return start, min(len(text), start + 600)
    line = text[start:end]
    code = line.strip()
    # Skip most prose: it is no part of the evaluation, and so small a model cannot learn it.
    if not code or (rng.random() < 0.85 and (code.startswith("#") or not any(c in "()[]{}=:.,_'\"" for c in code))):
        return None
    first = start + len(line) - len(line.lstrip())
    last = start + len(line.rstrip())
    if kind == "rest-of-line":
        return (first if rng.random() < 0.4 else rng.randrange(first, last)), end
    if kind == "inside-line":
        low, high = sorted((rng.randrange(first, last + 1), rng.randrange(first, last + 1)))
        return (low, high) if low < high else None
    for _ in range(rng.randint(1, 3)):
        following = text.find("\n", end + 1)
        end = following if following >= 0 else end
    return first, end


def _tail(text: str, size: int) -> str:
    """The last `size` characters of `text`, from a line border on."""
    if len(text) <= size:
        return text
    border = text.find("\n", len(text) - size)
    return text[border + 1 :] if border >= 0 else text[-size:]
