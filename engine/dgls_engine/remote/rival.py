"""One canvas for a server: the ids to send, with noise in the holes, and the draft that comes back.

The server puts no constraint on the tokens in a hole. The first token of a healed hole must begin with the freed bytes,
so it is chosen here, by the probabilities of a first look, and then pinned. Knows tokens' bytes; runs
on the engine thread.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dgls_engine.loop.leads import Draft
from dgls_engine.remote.wire import MOST_LIKELY, MOST_WANTED, Ask, Told
from dgls_engine.text.canvas import Canvas, Span
from dgls_engine.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Rival:
    """`ids` are the canvas at the start. `chosen` maps positions to the first tokens that were chosen there, with their
    log-probability among the allowed tokens. `number` is the canvas' number in its contest."""

    canvas: Canvas
    ids: tuple[int, ...]
    chosen: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    number: int = 0

    @property
    def holes(self) -> tuple[Span, ...]:
        return self.canvas.holes

    @property
    def rows(self) -> list[int]:
        """The holes' positions, ascending."""
        return self.canvas.rows

    @property
    def free(self) -> list[int]:
        """The holes' positions that are not chosen yet, ascending."""
        return [row for row in self.rows if row not in self.chosen]

    @property
    def pinned(self) -> list[int]:
        free = set(self.free)
        return [position for position in range(len(self.ids)) if position not in free]

    @property
    def held(self) -> list[Span]:
        """The holes whose first token is not chosen yet."""
        return [hole for hole in self.holes if hole.freed and hole.start not in self.chosen]

    def ask(self, prompt: Sequence[int], steps: int) -> Ask:
        """The request that denoises this canvas."""
        return Ask(prompt, self.ids, self.pinned, steps, self.rows[-1] + 1)

    def look(self, prompt: Sequence[int], steps: int, tokenizer: Tokenizer) -> Ask:
        """The request for the log-probabilities of the allowed first tokens, if these are few enough."""
        may = sorted({id for hole in self.held for id in tokenizer.extending(hole.freed)})
        asked = self.ask(prompt, steps)
        if not may:
            return asked
        return replace(asked, wanted=may) if len(may) <= MOST_WANTED else replace(asked, likely=MOST_LIKELY)

    def hold(self, told: Told, tokenizer: Tokenizer) -> Rival:
        """This rival with the first tokens that the answer to such a look makes likeliest."""
        chosen, ids = dict(self.chosen), list(self.ids)
        for hole in self.held:
            seen = {**told.others[hole.start], told.ids[hole.start]: told.logprobs[hole.start]}
            chosen[hole.start] = _likeliest(seen, hole.freed, tokenizer)
            ids[hole.start] = chosen[hole.start][0]
        return replace(self, ids=tuple(ids), chosen=chosen)

    def draft(self, told: Told | None) -> Draft:
        """The draft in the holes. There is no answer if nothing had to be denoised. A server sends no entropies, so
        each token's surprise stands in for its entropy."""
        assert told is not None or not self.free, "somebody has to fill the hole"
        pairs = [self.chosen[row] if told is None else self._at(row, told) for row in self.rows]
        nats = [nats for _, nats in pairs]
        return Draft(self.number, [id for id, _ in pairs], [-each for each in nats], nats)

    def _at(self, row: int, told: Told) -> tuple[int, float]:
        return self.chosen.get(row, (told.ids[row], told.logprobs[row]))


def drawn(canvas: Canvas, seed: int, vocabulary: int, number: int = 0) -> Rival:
    """A rival with noise in its holes, except in holes that resume a draft. Each length has its own random stream, so
    other lengths in the contest do not change it."""
    ids = list(canvas.ids)
    rows = [(row, hole.resumed) for hole in canvas.holes for row in range(hole.start, hole.end)]
    for (row, resumed), id in zip(rows, noise(seed + 1_000_003 * len(rows), vocabulary), strict=False):
        ids[row] = ids[row] if resumed else id
    return Rival(canvas, tuple(ids), number=number)


def noise(seed: int, vocabulary: int) -> Iterator[int]:
    """Uniformly random ids, as in training."""
    stream = random.Random(seed)
    while True:
        yield stream.randrange(vocabulary)


def _likeliest(seen: Mapping[int, float], freed: bytes, tokenizer: Tokenizer) -> tuple[int, float]:
    """The likeliest of the seen tokens that begin with the freed bytes, or the freed token if there is none."""
    may = {id: nats for id, nats in seen.items() if tokenizer.token_bytes(id).startswith(freed)}
    if not may:
        return next(id for id in tokenizer.extending(freed) if tokenizer.token_bytes(id) == freed), 0.0
    best = max(may, key=lambda id: may[id])
    return best, min(0.0, -math.log(sum(math.exp(nats - may[best]) for nats in may.values())))
