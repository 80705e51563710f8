"""Mask diffusion in any order: a rule (`loop.rules`) says which rows a step decides.

Each undecided row shows the mask token, and each step predicts all of them. A draft holds the decided tokens, and the
likeliest ones elsewhere. Positions behind a hole's end are never decided.

A hole can find its length itself (DreamOn, Wu et al., arXiv 2602.01326). It starts with `START` rows. A row that
predicts the expand token becomes two undecided ones; a row that predicts the delete token goes, and so do the undecided
rows of its hole to the right of it. The canvas has rows for the longest hole; those that are not there show `ABSENT`.

Knows hole rows and no model; runs on the engine thread. Shapes: r rows that a step reads, D hidden, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

import torch
from torch import Tensor

from dgls_engine.loop.choice import Report
from dgls_engine.loop.constraint import Constraint, Rules
from dgls_engine.loop.masked import Chance, Counted
from dgls_engine.loop.rules import Prediction, Rule
from dgls_engine.loop.sampler import entropy, no_numbers
from dgls_engine.model.batches import Places, sent
from dgls_engine.model.passes import ABSENT, Head

START = 8
"""Rows of a growing hole at the first step. DreamOn's authors report the same figures from 4 to 64."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The tokens by which a row asks for one row more, or for none; and how few rows each hole may have."""

    expand: int
    delete: int
    least: Sequence[int]


class Rows:
    """The rows of one canvas with holes of the `sizes`. `pad` stands in drafts for rows that are not there. `growth`:
    None if the holes keep their sizes. `chance`: draws tokens; None: the likeliest ones. `kept`: tokens of rows that
    are decided from the start; they count as certain."""

    def __init__(
        self,
        sizes: Sequence[int],
        mask: int,
        pad: int,
        rule: Rule,
        counted: Counted,
        device: torch.device,
        growth: Growth | None = None,
        chance: Chance | None = None,
        kept: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.chance = chance
        self._sizes, self._mask, self._pad, self._rule = sizes, mask, pad, rule
        self._counted, self._device, self._growth = counted, device, growth
        starts = [0, *accumulate(sizes)]
        certain = {row: Prediction(token, 0.0, 0.0, 1.0) for row, token in kept.items()}
        self._held: list[list[Prediction | None]] = [
            [certain.get(start + place) for place in range(size if growth is None else min(START, size))]
            for start, size in zip(starts, sizes, strict=False)
        ]
        """What each hole's rows hold, without rows that are not there; None: undecided."""
        self._predicted: dict[int, Prediction] = {}
        self._step = 0
        self._budget = list(sizes)
        """How often each hole may still become longer, so that growing and shrinking come to an end."""

    def noise(self, rows: int) -> Tensor:
        """The ids [H] that the rows show at the first step."""
        return sent(torch.tensor(self.shown()), self._device)

    def shown(self) -> list[int]:
        """The ids that the rows show at the next step."""
        return [self._mask if each is None else each.token for each in self._all(absent=ABSENT)]

    @property
    def reading(self) -> list[int]:
        """The rows whose predictions the next step reads, ascending."""
        held = self._all(absent=ABSENT)
        if not self._rule.remasks:
            return self._left()
        return [row for rows in self._counted(self._draft()) for row in rows if not _is(held[row], ABSENT)]

    def own(self, row: int) -> int | None:
        """The decided token of a row."""
        held = self._all(absent=self._pad)[row]
        return None if held is None else held.token

    def may_change(self, row: int) -> tuple[bool, bool]:
        """Whether a row may hold the expand token, and the delete token."""
        hole, place = self._place(row)
        assert self._growth is not None
        held = self._held[hole]
        longer = len(held) < self._sizes[hole] and self._budget[hole] > 0
        return longer, place >= max(1, self._growth.least[hole])

    def decide(self, predictions: Mapping[int, Prediction]) -> None:
        """Decide rows by a step's predictions."""
        self._step += 1
        self._predicted = dict(predictions)
        if not predictions:
            return
        decided = set(self._rule.decided(predictions, self._step))
        for row in sorted(predictions, reverse=True):  # from the right: a row that goes moves those behind it
            hole, place = self._place(row)
            held = self._held[hole]
            token = predictions[row].token
            if row not in decided:
                held[place] = None
            elif self._growth is not None and token == self._growth.expand:
                held[place : place + 1] = [None, None]
                self._budget[hole] -= 1
                self._predicted = {}
            elif self._growth is not None and token == self._growth.delete:
                held[place:] = [each for each in held[place + 1 :] if each is not None]
                self._predicted = {}
            else:
                held[place] = predictions[row]

    def held(self, undecided: Prediction) -> list[Prediction]:
        """What each row holds: its token, or the one that was likeliest."""
        return [
            self._predicted.get(row, undecided) if each is None else each
            for row, each in enumerate(self._all(absent=self._pad))
        ]

    def settled(self, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        """Whether all rows that count are decided: a `denoise.StopRule`."""
        return not self._left()

    def _left(self) -> list[int]:
        """The undecided rows that count, ascending."""
        held = self._all(absent=self._pad)
        return [row for rows in self._counted(self._draft()) for row in rows if held[row] is None]

    def _draft(self) -> list[int]:
        return [self._mask if each is None else each.token for each in self._all(absent=self._pad)]

    def _all(self, absent: int) -> list[Prediction | None]:
        """What all rows hold. Rows that are not there hold `absent`."""
        nothing = Prediction(absent, 0.0, 0.0, 1.0)
        rows: list[Prediction | None] = []
        for held, size in zip(self._held, self._sizes, strict=True):
            rows += [*held, *[nothing] * (size - len(held))]
        return rows

    def _place(self, row: int) -> tuple[int, int]:
        """The hole of a row, and the row's place in it."""
        for hole, size in enumerate(self._sizes):
            if row < size:
                return hole, row
            row -= size
        raise AssertionError("a row outside of the holes")


def _is(held: Prediction | None, token: int) -> bool:
    return held is not None and held.token == token


class AnyOrder:
    """A `choice.Chooser`: the likeliest or a drawn token for each row, of those that the constraints allow."""

    def __init__(
        self,
        head: Head,
        canvases: Sequence[Rows],
        constraints: Sequence[Constraint],
        mask: int,
        growth: tuple[int, int] | None = None,
    ) -> None:
        self._head, self._canvases, self._mask, self._growth = head, canvases, mask, growth
        self._starts = list(accumulate((len(each.leads) for each in constraints), initial=0))
        self._rules = Rules.of(constraints)

    def reads(self, rows: Places) -> Places:
        canvas, position = rows
        self._reading = [each.reading for each in self._canvases]
        together = [start + row for start, own in zip(self._starts, self._reading, strict=False) for row in own]
        self._index = sent(torch.tensor(together, dtype=torch.long), canvas.device)
        return canvas[self._index], position[self._index]

    def choose(self, hidden: Tensor, step: int, temperature: float) -> _Decisions:
        logits = self._head.logits(hidden)
        grown = None if self._growth is None else logits[:, list(self._growth)].clone()
        logits = self._rules.rows(self._index).apply(logits)
        if grown is not None and self._growth is not None:
            allowed = [each.may_change(row) for each, row in self._rows()]
            logits[:, list(self._growth)] = grown.masked_fill(
                ~sent(torch.tensor(allowed, dtype=torch.bool), logits.device).view(-1, 2), -math.inf
            )
        likely = logits.log_softmax(-1)
        top = likely.topk(2, dim=-1)
        best = top.indices[:, 0]
        for number, (each, row) in enumerate(self._rows()):
            if (own := each.own(row)) is not None:
                best[number] = own
            elif each.chance is not None:
                best[number] = each.chance.draw(likely[number])
        chosen = likely.gather(1, best[:, None])[:, 0]
        margins = top.values[:, 0].exp() - top.values[:, 1].exp()
        measured = torch.stack([best.float(), chosen, entropy(likely.exp()), margins])  # exact: ids stay under 2 ** 24
        return _Decisions(measured, self._canvases, self._reading, self._mask, likely.shape[-1])

    def _rows(self) -> Iterator[tuple[Rows, int]]:
        """The canvas and the row of each row that is read."""
        for each, rows in zip(self._canvases, self._reading, strict=True):
            for row in rows:
                yield each, row


class _Decisions:
    def __init__(
        self, measured: Tensor, canvases: Sequence[Rows], reading: Sequence[Sequence[int]], mask: int, vocabulary: int
    ) -> None:
        self._measured, self._canvases, self._reading = measured, canvases, reading
        uniform = math.log(vocabulary)
        self._undecided = Prediction(mask, -uniform, uniform, 0.0)

    def report(self) -> Report:
        rows = self._measured.T.tolist()
        if any(math.isnan(value) for row in rows for value in row):
            raise no_numbers()
        predictions = iter([Prediction(int(token), *values) for token, *values in rows])
        held: list[Prediction] = []
        for canvas, own in zip(self._canvases, self._reading, strict=True):
            canvas.decide({row: next(predictions) for row in own})
            held += canvas.held(self._undecided)
        return [row.token for row in held], [row.entropy for row in held], [row.log_probability for row in held]

    def advance(self, on: Sequence[int]) -> tuple[Tensor, None]:
        ids = [id for number in on for id in self._canvases[number].shown()]
        return sent(torch.tensor(ids), self._measured.device), None
