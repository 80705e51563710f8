"""Mask diffusion: an undecided position shows one mask token; a position that is decided stays decided.

A step decides the leftmost undecided position. It goes on to the right and decides each next position until one has a
token that is less likely than a threshold. This is confidence-aware parallel decoding (Fast-dLLM, Wu et al., arXiv
2505.22618), but from left to right. If only the next token is likely enough, a step decides one token, like an
autoregressive model. Positions behind a hole's end are never decided.

Chooses greedily: temperature and seed change nothing. Knows hole rows and no model; runs on the engine thread. Shapes:
H hole rows of one canvas, R hole rows of all canvases, D hidden, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgls_engine.loop.choice import Report
from dgls_engine.loop.constraint import Constraint, Rules
from dgls_engine.loop.sampler import entropy
from dgls_engine.model.batches import sent
from dgls_engine.model.passes import Head

Counted = Callable[[Sequence[int]], Sequence[range]]
"""Maps a draft to the rows that count, one range for each hole: its text and the token that ends it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A row's token, with its entropy and log-probability at the step that decided it."""

    token: int
    entropy: float
    log_probability: float


class Unmasker:
    """The decided rows of one canvas. A step decides further rows while their tokens are likelier than `threshold`."""

    def __init__(self, mask: int, threshold: float, counted: Counted, device: torch.device) -> None:
        self._mask, self._threshold, self._counted, self._device = mask, threshold, counted, device
        self._decided: dict[int, Decision] = {}

    def noise(self, rows: int) -> Tensor:
        """The ids [H] that `rows` undecided rows show: the mask."""
        return torch.full((rows,), self._mask, device=self._device)

    def decide(self, predicted: Sequence[Decision]) -> list[Decision]:
        """Decide rows by a step's predictions for all H rows. Returns each row's decision, or its prediction."""
        held = [self._decided.get(row, prediction) for row, prediction in enumerate(predicted)]
        for place, row in enumerate(self._left([decision.token for decision in held])):
            if place > 0 and math.exp(held[row].log_probability) <= self._threshold:
                break
            self._decided[row] = held[row]
        return held

    def shown(self, rows: int) -> list[int]:
        """The ids that H = `rows` rows show at the next step: the decided token or the mask."""
        return [self._decided[row].token if row in self._decided else self._mask for row in range(rows)]

    def settled(self, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        """Whether all rows that count are decided: a `denoise.StopRule`."""
        return not self._left(draft)

    def _left(self, draft: Sequence[int]) -> list[int]:
        """The undecided rows that count, ascending."""
        return [row for rows in self._counted(draft) for row in rows if row not in self._decided]


class Greedy:
    """A `choice.Chooser` that takes the likeliest token that the constraints allow."""

    def __init__(self, head: Head, unmaskers: Sequence[Unmasker], constraints: Sequence[Constraint]) -> None:
        self._head, self._unmaskers = head, unmaskers
        self._sizes = [len(each.leads) for each in constraints]
        self._rules = Rules.of(constraints)

    def choose(self, hidden: Tensor, step: int, temperature: float) -> _GreedyChoice:
        likely = self._rules.apply(self._head.logits(hidden)).log_softmax(-1)
        log_probabilities, best = likely.max(-1)
        ids = best.float()  # exact: ids stay under 2 ** 24
        measured = torch.stack([ids, entropy(likely.exp()), log_probabilities])
        return _GreedyChoice(measured, self._unmaskers, self._sizes)


class _GreedyChoice:
    def __init__(self, measured: Tensor, unmaskers: Sequence[Unmasker], sizes: list[int]) -> None:
        self._measured, self._unmaskers, self._sizes = measured, unmaskers, sizes

    def report(self) -> Report:
        best, entropies, log_probabilities = self._measured.tolist()
        predicted = list(map(Decision, map(int, best), entropies, log_probabilities))
        held: list[Decision] = []
        for unmasker, size in zip(self._unmaskers, self._sizes, strict=True):
            held += unmasker.decide(predicted[len(held) : len(held) + size])
        return [row.token for row in held], [row.entropy for row in held], [row.log_probability for row in held]

    def advance(self, on: Sequence[int]) -> tuple[Tensor, None]:
        ids = [id for number in on for id in self._unmaskers[number].shown(self._sizes[number])]
        return sent(torch.tensor(ids), self._measured.device), None
