"""Which tokens each hole row may hold.

A hole never holds special tokens. It holds PAD or a token with the hole's stop only where the length policy lets its
text end early. The first token of a healed hole begins with the freed bytes. The rules change the logits, so sampling,
entropy, draft and self-conditioning all follow them. `Constraint` has the rules of one canvas as plain values; `Rules`
has those of a whole batch on the device. Runs on the engine thread. Shapes:
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
"""The lead of the original token over others, in nats, at strength 0. It falls to 0 at strength 1."""


class Vocabulary:
    """Sets of token ids, as masks for a model's logits. Made once per open model. `size` is V."""

    def __init__(self, tokenizer: Tokenizer, size: int, device: torch.device) -> None:
        self.size = size
        self._device = device
        self._tokenizer = tokenizer
        self._silent = torch.tensor([not tokenizer.token_bytes(id) for id in range(size)])
        """Ids without text, including PAD."""
        # Few seams cover most typing: line starts, a space, the first letters of names.
        self.banned = lru_cache(maxsize=64)(self._banned)
        self._holding = lru_cache(maxsize=8)(self._that_hold)

    def _banned(self, pad: bool, prefix: bytes = b"", stop: bytes = b"") -> Tensor:
        """bool [V] on the device: ids without text (except PAD if `pad`), ids that do not begin with `prefix`, and ids
        that contain `stop`."""
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
    """The rules for each hole row of one canvas: the `banned` tokens [V], the `favoured` token, and its lead in
    nats."""

    banned: Sequence[Tensor]
    favoured: Sequence[int]
    leads: Sequence[float]

    @classmethod
    def of(cls, canvas: Canvas, vocabulary: Vocabulary, pads: bool, stops: bool = True) -> Constraint:
        """The rules of `canvas`. `pads`: whether PAD may end a hole's text. `stops`: whether its stop may."""
        banned: list[Tensor] = []
        favoured: list[int] = []
        leads: list[float] = []
        for hole in canvas.holes:
            stop = b"" if hole.stop is None or stops else hole.stop.encode(errors="replace")
            for row in range(len(hole)):
                pad = pads and row >= hole.min_tokens
                # The freed bytes of a first token may contain the stop; they are not part of the text.
                prefix, ending = (hole.freed, b"") if row == 0 and hole.freed else (b"", stop)
                banned.append(vocabulary.banned(pad, prefix, ending))
            stood = len(hole.expected) == len(hole) and not hole.stands
            favoured += hole.expected if stood else [0] * len(hole)
            leads += [TOKEN_WORTH * (1 - hole.strength) if stood else 0.0] * len(hole)
        return cls(banned, favoured, leads)

    @classmethod
    def none(cls, rows: int, vocabulary: int, device: torch.device) -> Constraint:
        """Rules that allow every token in every row."""
        return cls([torch.zeros(vocabulary, dtype=torch.bool, device=device)] * rows, [0] * rows, [0.0] * rows)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for the rows of all canvases, on the device: bool sets of `banned` tokens [M, V], the number of each
    row's set (`banned_by` [R]), its `favoured` token [R] int64, and that token's lead in nats (`leads` [R])."""

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

    def rows(self, index: Tensor) -> Rules:
        """The rules of the rows `index` [r] alone."""
        return Rules(self.banned, self.banned_by[index], self.favoured[index], self.leads[index])

    def apply(self, logits: Tensor) -> Tensor:
        """Add the leads to `logits` [R, V] float32 and set banned tokens to minus infinity, in place."""
        logits.scatter_add_(1, self.favoured[:, None], self.leads[:, None])
        return logits.masked_fill_(self.banned[self.banned_by], -math.inf)
