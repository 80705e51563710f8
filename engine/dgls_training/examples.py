"""Training examples: a hole cut into real code, laid out just as the engine lays out a request.

    prompt  = <|below|> code below the canvas <|above|> code above it       (encoder, causal)
    canvas  = before | hole, filled up with PAD | after                     (decoder, bidirectional)

Holes are the rest of a line, a span inside a line, whole lines, or the whole canvas (nothing pinned). They may
start inside a word: the last token before the hole is freed where other tokens extend it, as token healing does
when the model runs. Everything here is a pure function of a random generator and the corpus.
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
"""Weights of the kinds at the start and at the end of a run: a whole canvas teaches five times as many tokens a
pass as a hole does, which is what a young model needs; holes are what it will be asked for. (The denoiser pins parts
of a whole canvas: `Denoising`.)"""
EXACT_SHARE = 0.25
"""Share of the holes that are just as long as their text; the others end in PAD."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tokens: prompt and canvas as padded in a batch; longest hole."""

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
    """Draws examples from a corpus, files in proportion to their length."""

    def __init__(self, sources: Sequence[Source], tokenizer: Tokenizer, sizes: Sizes) -> None:
        self._texts = [source.text for source in sources]
        self._ends = list(accumulate(len(text) for text in self._texts))
        self._tokenizer = tokenizer
        self._sizes = sizes
        self._below, self._above = tokenizer.id_of(BELOW), tokenizer.id_of(ABOVE)
        self._newline = tokenizer.encode("\n")[0]

    def draw(self, rng: random.Random, kind: Kind | None = None, done: float = 1.0) -> Example:
        """The next usable example; of one `kind`, or of any as befits a run of which the share `done` is over."""
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
        """Bytes of the last token if others extend it (then it is freed), else none."""
        last = self._tokenizer.token_bytes(prefix[-1]) if prefix else b""
        return last if last and len(self._tokenizer.extending(last)) > 1 else b""

    def _whole_lines(self, ids: list[int], room: int, keep_start: bool) -> list[int]:
        """At most `room` ids next to the hole, cut at a line border if that leaves at least half of them."""
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
    """A (start, end) of `text` to be the hole, or None where this draw has none."""
    at = rng.randrange(len(text))
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    if kind == "whole-canvas":
        return start, min(len(text), start + 600)
    line = text[start:end]
    code = line.strip()
    # Prose is neither what we are judged by nor what so small a model can learn.
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
    """The end of `text`, from a line border."""
    if len(text) <= size:
        return text
    border = text.find("\n", len(text) - size)
    return text[border + 1 :] if border >= 0 else text[-size:]
