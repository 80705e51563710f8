"""Which tokens may stand in which hole row: what the model wants is sampled, what cannot be text never is.

Special tokens never stand in a hole, PAD and what holds the hole's stop only where the length policy lets its text
end early, and the first token of a healed hole begins with the freed bytes. Works on logits, so sampling, entropy,
draft and self-conditioning all see it. Runs on the engine thread. Shapes: H hole rows, V vocabulary.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from engine.canvas import Canvas
from engine.tokenizer import Tokenizer

TOKEN_WORTH = 12.0
"""Nats by which another token must be likelier than the one that stood there at strength 0; none at strength 1."""


class Vocabulary:
    """The tokenizer's ids as a model's logits want them; made once per open model. `size` is V."""

    def __init__(self, tokenizer: Tokenizer, size: int, device: torch.device) -> None:
        self.size = size
        self.device = device
        self.pad_id = tokenizer.pad_id
        silent = [id for id in range(size) if not tokenizer.token_bytes(id)]
        self.silent = torch.tensor(silent, dtype=torch.long, device=device)
        """Ids that stand for no text, PAD among them."""
        self.silent_but_pad = self.silent[self.silent != tokenizer.pad_id]
        self._tokenizer = tokenizer
        # Few seams cover most typing: line starts, a space, the first letters of names.
        self.not_extending = lru_cache(maxsize=64)(self._not_extending)
        self.holding = lru_cache(maxsize=8)(self._holding)

    def _not_extending(self, prefix: bytes) -> Tensor:
        """bool [V], True for the ids whose bytes do not start with `prefix`."""
        others = torch.ones(self.size, dtype=torch.bool)
        others[torch.tensor(self._tokenizer.extending(prefix))] = False
        return others.to(self.device)

    def _holding(self, stop: bytes) -> Tensor:
        """The ids whose bytes have `stop` in them."""
        holding = [id for id in range(self.size) if stop in self._tokenizer.token_bytes(id)]
        return torch.tensor(holding, dtype=torch.long, device=self.device)


class Constraint:
    """The rules of one canvas. `pads`: whether PAD may end a hole's text; `stops`: whether its stop may."""

    def __init__(self, canvas: Canvas, vocabulary: Vocabulary, pads: bool, stops: bool = True) -> None:
        self._never = vocabulary.silent_but_pad if pads else vocabulary.silent
        self._pad_id = vocabulary.pad_id
        self._held: list[tuple[int, Tensor]] = []
        self._endless: list[tuple[slice, Tensor]] = []
        unpadded: list[int] = []
        expected: list[tuple[int, int]] = []
        leads: list[float] = []
        row = 0
        for hole in canvas.holes:
            if hole.freed:
                self._held.append((row, vocabulary.not_extending(hole.freed)))
            if hole.stop is not None and not stops:
                # A healed first token may have to begin with the stop, which is no part of the text then.
                behind = slice(row + bool(hole.freed), row + len(hole))
                self._endless.append((behind, vocabulary.holding(hole.stop.encode(errors="replace"))))
            unpadded += range(row, row + hole.min_tokens) if pads else ()
            if len(hole.expected) == len(hole):
                expected += enumerate(hole.expected, row)
                leads += [TOKEN_WORTH * (1 - hole.strength)] * len(hole)
            row += len(hole)
        self._unpadded = torch.tensor(unpadded, dtype=torch.long, device=vocabulary.device)
        self._expected = torch.tensor(expected, dtype=torch.long, device=vocabulary.device).reshape(-1, 2).unbind(1)
        self._leads = torch.tensor(leads, device=vocabulary.device)

    def apply(self, logits: Tensor) -> Tensor:
        """`logits` [H, V] with minus infinity, in place, for what may not stand."""
        logits.index_fill_(1, self._never, -math.inf)
        logits[self._expected] += self._leads
        logits[self._unpadded, self._pad_id] = -math.inf
        for row, others in self._held:
            logits[row].masked_fill_(others, -math.inf)
        for rows, endings in self._endless:
            logits[rows].index_fill_(1, endings, -math.inf)
        return logits
