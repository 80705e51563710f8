"""Mask diffusion: an undecided position shows one mask token; a position that is decided stays decided.

A step decides the leftmost undecided position. It goes on to the right and decides each next position until one has a
token that is less likely than a threshold. This is confidence-aware parallel decoding (Fast-dLLM, Wu et al., arXiv
2505.22618), but from left to right. If only the next token is likely enough, a step decides one token, like an
autoregressive model. Positions behind a hole's end are never decided.

A step also shows guesses in the next positions, as if they were decided. It takes back a wrong guess, and what it read
behind it: each token that it decides is the likeliest after decided tokens. So guesses save steps and change no token
(speculative decoding, Leviathan et al., arXiv 2211.17192). Behind the guesses, a step reads the next `LOOKAHEAD`
undecided positions. A draft holds the decided tokens, and the mask elsewhere.

A contest's first rival takes the likeliest tokens; the schedule's temperature changes nothing. The others draw theirs.
Knows hole rows and no model; runs on the engine thread. Shapes:
H hole rows of one canvas, R hole rows of all canvases, r rows that a step reads, D hidden, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

import torch
from torch import Tensor

from dgls_engine.loop.beginnings import Banned
from dgls_engine.loop.choice import Report
from dgls_engine.loop.constraint import Constraint, Rules
from dgls_engine.loop.sampler import entropy, no_numbers
from dgls_engine.model.batches import Places, sent
from dgls_engine.model.passes import Head

TEMPERATURE = 0.7
"""The temperature of drawn tokens."""

LOOKAHEAD = 2
"""A step decides one or two tokens, and costs more with each row that it reads."""

Guess = Callable[[Sequence[int], int], Sequence[int]]
"""Maps a draft and its leftmost undecided row to tokens for that row and the following ones."""

Counted = Callable[[Sequence[int]], Sequence[range]]
"""Maps a draft to the rows that count, one range for each hole: its text and the token that ends it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A row's token, with its entropy and log-probability at the step that decided it."""

    token: int
    entropy: float
    log_probability: float


class Chance:
    """Draws tokens at `TEMPERATURE`: a random stream for one canvas."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed % 2**63)

    def draw(self, likely: Tensor) -> int:
        """A token by its log-probabilities [V]."""
        tempered = (likely.cpu() / TEMPERATURE).softmax(-1)
        if tempered.isnan().any():
            raise no_numbers()
        return int(torch.multinomial(tempered, 1, generator=self._generator))


class Unmasker:
    """The decided rows of one canvas with `rows` hole rows. A step decides further rows while their tokens are likelier
    than `threshold`. With a `chance` it decides one drawn token: the predictions for rows behind it expect the
    likeliest one. `guess` saves steps; None: no guesses. `banned`: what the next row may not hold; None: nothing.
    `kept`: tokens of rows that are decided from the start; they count as certain."""

    def __init__(
        self,
        rows: int,
        mask: int,
        threshold: float,
        counted: Counted,
        device: torch.device,
        chance: Chance | None = None,
        guess: Guess | None = None,
        banned: Banned | None = None,
        kept: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._rows, self.mask, self._threshold = rows, mask, threshold
        self._counted, self._device = counted, device
        self.chance = chance
        self._guess = guess if chance is None else None
        self._banned = banned
        self._decided = {row: Decision(token, 0.0, 0.0) for row, token in kept.items()}
        self._guessed = self._guesses()

    def noise(self, rows: int) -> Tensor:
        """The ids [H] that the rows show at the first step."""
        return sent(torch.tensor(self.shown()), self._device)

    @property
    def reading(self) -> list[int]:
        """The rows whose predictions the next step reads, ascending."""
        return self._left()[: len(self._guessed) + (LOOKAHEAD if self.chance is None else 1)]

    def banned(self) -> Tensor | None:
        """The tokens that the first of the rows that the next step reads may not hold, bool [V]; None: no rule."""
        left = self._left()
        return self._banned(self._draft(), left[0]) if self._banned is not None and left else None

    def decide(self, predicted: Mapping[int, Decision]) -> None:
        """Decide rows by a step's predictions, which ascend."""
        before: Decision | None = None
        for row, prediction in predicted.items():
            if before is not None and not self._holds(row, prediction, before):
                break
            self._decided[row] = before = prediction
        self._guessed = self._guesses()

    def held(self, undecided: Decision) -> list[Decision]:
        """What each row holds."""
        return [self._decided.get(row, undecided) for row in range(self._rows)]

    def shown(self) -> list[int]:
        """The ids that the rows show at the next step: the decided token, a guess or the mask."""
        return [self._guessed.get(row, id) for row, id in enumerate(self._draft())]

    def settled(self, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        """Whether all rows that count are decided: a `denoise.StopRule`."""
        return not self._left()

    def _draft(self) -> list[int]:
        return [self._decided[row].token if row in self._decided else self.mask for row in range(self._rows)]

    def _left(self) -> list[int]:
        """The undecided rows that count, ascending."""
        return [row for rows in self._counted(self._draft()) for row in rows if row not in self._decided]

    def _holds(self, row: int, prediction: Decision, before: Decision) -> bool:
        """Whether the prediction for `row` still holds, now that the row before it is decided."""
        if row not in self._left():
            return False
        if (banned := self.banned()) is not None and banned[prediction.token]:
            return False
        if (guess := self._guessed.get(row - 1)) is not None:
            return guess == before.token
        return math.exp(prediction.log_probability) > self._threshold

    def _guesses(self) -> dict[int, int]:
        """Guesses for the next rows of the hole that is not decided yet."""
        if self._guess is None:
            return {}
        draft = self._draft()
        for rows in self._counted(draft):
            if undecided := [row for row in rows if row not in self._decided]:
                return dict(zip(undecided, self._guess(draft, undecided[0]), strict=False))
        return {}


class FromTheLeft:
    """A `choice.Chooser`: of the tokens that the constraints allow, the likeliest or a drawn one."""

    def __init__(self, head: Head, unmaskers: Sequence[Unmasker], constraints: Sequence[Constraint]) -> None:
        self._head, self._unmaskers = head, unmaskers
        self._starts = list(accumulate((len(each.leads) for each in constraints), initial=0))
        self._rules = Rules.of(constraints)

    def reads(self, rows: Places) -> Places:
        canvas, position = rows
        self._reading = [each.reading for each in self._unmaskers]
        together = [start + row for start, own in zip(self._starts, self._reading, strict=False) for row in own]
        self._index = sent(torch.tensor(together), canvas.device)
        return canvas[self._index], position[self._index]

    def choose(self, hidden: Tensor, step: int, temperature: float) -> _Decisions:
        logits = self._rules.rows(self._index).apply(self._head.logits(hidden))
        first = list(accumulate(map(len, self._reading), initial=0))
        for unmasker, row in zip(self._unmaskers, first, strict=False):
            if (banned := unmasker.banned()) is not None:
                allowed = logits[row].masked_fill(banned, -math.inf)
                if allowed.isfinite().any():  # else the rule leaves nothing that the others allow
                    logits[row] = allowed
        likely = logits.log_softmax(-1)
        best = likely.argmax(-1)
        for unmasker, row in zip(self._unmaskers, first, strict=False):
            if unmasker.chance is not None:
                best[row] = unmasker.chance.draw(likely[row])
        chosen = likely.gather(1, best[:, None])[:, 0]
        measured = torch.stack([best.float(), entropy(likely.exp()), chosen])  # exact: ids stay under 2 ** 24
        return _Decisions(measured, self._unmaskers, self._reading, likely.shape[-1])


class _Decisions:
    def __init__(
        self, measured: Tensor, unmaskers: Sequence[Unmasker], reading: Sequence[Sequence[int]], vocabulary: int
    ) -> None:
        self._measured, self._unmaskers, self._reading = measured, unmaskers, reading
        self._uniform = math.log(vocabulary)

    def report(self) -> Report:
        best, entropies, log_probabilities = self._measured.tolist()
        predictions = map(Decision, map(int, best), entropies, log_probabilities)
        held: list[Decision] = []
        for unmasker, rows in zip(self._unmaskers, self._reading, strict=True):
            unmasker.decide({row: next(predictions) for row in rows})
            held += unmasker.held(Decision(unmasker.mask, self._uniform, -self._uniform))
        return [row.token for row in held], [row.entropy for row in held], [row.log_probability for row in held]

    def advance(self, on: Sequence[int]) -> tuple[Tensor, None]:
        ids = [id for number in on for id in self._unmaskers[number].shown()]
        return sent(torch.tensor(ids), self._measured.device), None
