"""Which tokens may stand in which hole row: what the model wants is sampled, what cannot be text never is.

Special tokens never stand in a hole, PAD and what holds the hole's stop only where the length policy lets its text
end early, and the first token of a healed hole begins with the freed bytes. Works on logits, so sampling, entropy,
draft and self-conditioning all see it. A row's rules are plain values until the canvases that are denoised together
are known (`Constraint`); then they go to the device, once for all of them (`Rules`). Runs on the engine thread. Shapes:
H hole rows of a canvas, R of all canvases, V vocabulary, M sets of banned tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dgls_engine.model.batches import sent
from dgls_engine.text.canvas import Canvas
from dgls_engine.text.tokenizer import Tokenizer

TOKEN_WORTH = 12.0
"""Nats by which another token must be likelier than the one that stood there at strength 0; none at strength 1."""


class Vocabulary:
    """The tokenizer's ids as a model's logits want them; made once per open model. `size` is V."""

    def __init__(self, tokenizer: Tokenizer, size: int, device: torch.device) -> None:
        self.size = size
        self._device = device
        self._tokenizer = tokenizer
        self._silent = torch.tensor([not tokenizer.token_bytes(id) for id in range(size)])
        """Ids that stand for no text, PAD among them."""
        # Few seams cover most typing: line starts, a space, the first letters of names.
        self.banned = lru_cache(maxsize=64)(self._banned)
        self._holding = lru_cache(maxsize=8)(self._that_hold)

    def _banned(self, pad: bool, prefix: bytes = b"", stop: bytes = b"") -> Tensor:
        """bool [V] on the device: ids that stand for no text (PAD may, if `pad`), do not begin with `prefix`, or have
        `stop` in them."""
        banned = self._silent.clone()
        banned[self._tokenizer.pad_id] = not pad
        if prefix:
            extending = torch.tensor(self._tokenizer.extending(prefix))
            banned |= torch.ones_like(banned).index_fill_(0, extending, False)
        if stop:
            banned |= self._holding(stop)
        return sent(banned, self._device)

    def _that_hold(self, stop: bytes) -> Tensor:
        return torch.tensor([stop in self._tokenizer.token_bytes(id) for id in range(self.size)])


@dataclass(frozen=True, slots=True)
class Constraint:
    """The rules of one canvas' hole rows, one of each a row: which tokens are banned [V], which one is favoured, and by
    how many nats."""

    banned: Sequence[Tensor]
    favoured: Sequence[int]
    leads: Sequence[float]

    @classmethod
    def of(cls, canvas: Canvas, vocabulary: Vocabulary, pads: bool, stops: bool = True) -> Constraint:
        """`pads`: whether PAD may end a hole's text; `stops`: whether its stop may."""
        banned: list[Tensor] = []
        favoured: list[int] = []
        leads: list[float] = []
        for hole in canvas.holes:
            stop = b"" if hole.stop is None or stops else hole.stop.encode(errors="replace")
            for row in range(len(hole)):
                pad = pads and row >= hole.min_tokens
                # A healed first token may have to begin with the stop, which is no part of the text then.
                prefix, ending = (hole.freed, b"") if row == 0 and hole.freed else (b"", stop)
                banned.append(vocabulary.banned(pad, prefix, ending))
            stood = len(hole.expected) == len(hole)
            favoured += hole.expected if stood else [0] * len(hole)
            leads += [TOKEN_WORTH * (1 - hole.strength) if stood else 0.0] * len(hole)
        return cls(banned, favoured, leads)

    @classmethod
    def none(cls, rows: int, vocabulary: int, device: torch.device) -> Constraint:
        """Anything may stand anywhere."""
        return cls([torch.zeros(vocabulary, dtype=torch.bool, device=device)] * rows, [0] * rows, [0.0] * rows)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rows of all canvases together, on the device: the sets of `banned` tokens [M, V] bool, which of them is a
    row's (`banned_by` [R]), its `favoured` token [R] int64 and that one's lead in nats (`leads` [R])."""

    banned: Tensor
    banned_by: Tensor
    favoured: Tensor
    leads: Tensor

    @classmethod
    def of(cls, constraints: Sequence[Constraint]) -> Rules:
        rows = [banned for own in constraints for banned in own.banned]
        sets = {id(banned): banned for banned in rows}
        numbers = {key: number for number, key in enumerate(sets)}
        together = torch.stack(list(sets.values()))
        device = together.device
        return cls(
            together,
            sent(torch.tensor([numbers[id(banned)] for banned in rows]), device),
            sent(torch.tensor([token for own in constraints for token in own.favoured]), device),
            sent(torch.tensor([nats for own in constraints for nats in own.leads]), device),
        )

    def apply(self, logits: Tensor) -> Tensor:
        """`logits` [R, V] float32 with the leads and, for what may not stand, minus infinity, in place."""
        logits.scatter_add_(1, self.favoured[:, None], self.leads[:, None])
        return logits.masked_fill_(self.banned[self.banned_by], -math.inf)
