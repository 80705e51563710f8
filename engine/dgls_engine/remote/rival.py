"""One canvas on its way to a server and back: plain ids, noise in its holes, and what stands in them afterwards.

The server lets any token stand in a hole. So the first token of a healed hole, which has to begin with the freed
bytes, is chosen here among those that do, by the probabilities of a first look, and pinned. Knows tokens' bytes; runs
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
    """`ids` are what the canvas begins with. `chosen`: the first tokens that were decided, by position, with their
    log-probability among those that may stand there. `number` is the canvas' in its contest."""

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
        """Those of them that are still to be denoised."""
        return [row for row in self.rows if row not in self.chosen]

    @property
    def pinned(self) -> list[int]:
        free = set(self.free)
        return [position for position in range(len(self.ids)) if position not in free]

    @property
    def held(self) -> list[Span]:
        """The holes whose first token is still to be chosen."""
        return [hole for hole in self.holes if hole.freed and hole.start not in self.chosen]

    def ask(self, prompt: Sequence[int], steps: int) -> Ask:
        """To denoise it."""
        return Ask(prompt, self.ids, self.pinned, steps, self.rows[-1] + 1)

    def look(self, prompt: Sequence[int], steps: int, tokenizer: Tokenizer) -> Ask:
        """To choose the first tokens: the log-probabilities of all that may stand there if those are few enough."""
        may = sorted({id for hole in self.held for id in tokenizer.extending(hole.freed)})
        asked = self.ask(prompt, steps)
        if not may:
            return asked
        return replace(asked, wanted=may) if len(may) <= MOST_WANTED else replace(asked, likely=MOST_LIKELY)

    def hold(self, told: Told, tokenizer: Tokenizer) -> Rival:
        """With the first tokens chosen by such a look."""
        chosen, ids = dict(self.chosen), list(self.ids)
        for hole in self.held:
            seen = {**told.others[hole.start], told.ids[hole.start]: told.logprobs[hole.start]}
            chosen[hole.start] = _likeliest(seen, hole.freed, tokenizer)
            ids[hole.start] = chosen[hole.start][0]
        return replace(self, ids=tuple(ids), chosen=chosen)

    def draft(self, told: Told | None) -> Draft:
        """What stands in its holes; without an answer, if nothing was left to be denoised. A server tells no entropies.
        A token's surprise stands in for it."""
        assert told is not None or not self.free, "somebody has to fill the hole"
        pairs = [self.chosen[row] if told is None else self._at(row, told) for row in self.rows]
        nats = [nats for _, nats in pairs]
        return Draft(self.number, [id for id, _ in pairs], [-each for each in nats], nats)

    def _at(self, row: int, told: Told) -> tuple[int, float]:
        return self.chosen.get(row, (told.ids[row], told.logprobs[row]))


def drawn(canvas: Canvas, seed: int, vocabulary: int, number: int = 0) -> Rival:
    """A canvas with noise in its holes, but for what goes on from a draft. Each length has a stream of its own: others
    that are tried change nothing."""
    ids = list(canvas.ids)
    rows = [(row, hole.resumed) for hole in canvas.holes for row in range(hole.start, hole.end)]
    for (row, resumed), id in zip(rows, noise(seed + 1_000_003 * len(rows), vocabulary), strict=False):
        ids[row] = ids[row] if resumed else id
    return Rival(canvas, tuple(ids), number=number)


def noise(seed: int, vocabulary: int) -> Iterator[int]:
    """Uniformly random ids, as the models were trained on."""
    stream = random.Random(seed)
    while True:
        yield stream.randrange(vocabulary)


def _likeliest(seen: Mapping[int, float], freed: bytes, tokenizer: Tokenizer) -> tuple[int, float]:
    """Of the tokens that begin with the freed bytes; the one that stood there if none of them is among the seen."""
    may = {id: nats for id, nats in seen.items() if tokenizer.token_bytes(id).startswith(freed)}
    if not may:
        return next(id for id in tokenizer.extending(freed) if tokenizer.token_bytes(id) == freed), 0.0
    best = max(may, key=lambda id: may[id])
    return best, min(0.0, -math.log(sum(math.exp(nats - may[best]) for nats in may.values())))
