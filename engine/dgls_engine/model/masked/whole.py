"""The layout of models whose rows all see each other: prompt and canvas are one sequence, in the order of the file.

    code above | canvas | code below            each row sees each other row

The prompt's ids hold the mask token where the canvas stands. A pass over the whole sequence computes every row. In
between, passes compute the canvas' rows alone, against the keys and values that the prompt's rows had in the last whole
pass: `refresh` passes share one whole pass (the prefix and suffix cache of Fast-dLLM, Wu et al., arXiv 2505.22618).
They are an approximation, because the prompt's rows do not see what changed in the canvas since; with `refresh` 1 each
pass is exact. The kept keys and values also serve the next request, if its prompt is the same: when the canvas then has
other positions, the keys of the code below are turned to their new ones.

A canvas row with the id `ABSENT` is not there: the rows around it are neighbours. Knows tensors, no text; runs on the
engine thread. Shapes: B canvases, C canvas, P prompt tokens, R rows to read of all canvases, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dgls_engine.model.batches import Places, sent
from dgls_engine.model.masked.passes import PlainHead
from dgls_engine.model.masked.prompt import Buffers
from dgls_engine.model.passes import ABSENT


class WholePrompt:
    """A `model.passes.KeptPrompt` that notes the prompt's ids; passes over canvases compute their rows. `canvas`: the
    most rows of a canvas. `mask` is the id that marks the canvas' place."""

    chunk = 2**20

    def __init__(self, model: Any, capacity: int, canvas: int, mask: int) -> None:
        self.capacity = capacity
        self._model, self._canvas, self._mask = model, canvas, mask
        self._ids: list[int] = []
        self.own = WholeStates(Buffers.empty(model, capacity + canvas))

    @property
    def tokens(self) -> int:
        return len(self._ids)

    @property
    def around(self) -> tuple[list[int], list[int]]:
        """The ids above and below the canvas."""
        seam = self._ids.index(self._mask)
        return self._ids[:seam], self._ids[seam + 1 :]

    def crop(self, length: int) -> int:
        """Any change of the prompt changes what each of its rows sees, so only a whole prompt is kept."""
        if length < len(self._ids):
            self._ids = []
            self.own.age = None
        return len(self._ids)

    def extend(self, ids: Sequence[int]) -> None:
        assert len(self._ids) + len(ids) <= self.capacity
        self._ids += ids
        self.own.age = None

    def states(self, count: int) -> WholeStates:
        """The prompt's states for `count` canvases: its own for one canvas, else copies."""
        return self.own if count == 1 else self.own.of(torch.zeros(count, dtype=torch.long), self.rows)

    @property
    def rows(self) -> int:
        """The number of rows that a sequence needs at most."""
        return len(self._ids) + self._canvas

    def grown(self, capacity: int) -> WholePrompt:
        other = WholePrompt(self._model, capacity, self._canvas, self._mask)
        other._ids = list(self._ids)
        return other


class WholeStates:
    """A `model.passes.Carry`: keys and values of the prompt's rows, then of the canvas' rows. `age`: the number of
    passes since all of them were computed; None if they never were. `length` [B]: the canvas rows that the prompt's
    positions allow for."""

    def __init__(self, buffers: Buffers, age: int | None = None, length: Tensor | None = None) -> None:
        self.buffers, self.age, self.length = buffers, age, length

    def of(self, batch: Tensor, rows: int | None = None) -> WholeStates:
        """The canvases `batch` [b] in buffers of their own, with the first `rows` of each (None: all)."""
        length = None if self.length is None else self.length[batch.to(self.length.device)]
        return WholeStates(self.buffers.copied(batch, rows), self.age, length)

    def take(self, other: WholeStates) -> None:
        self.buffers, self.age, self.length = other.buffers, other.age, other.length

    def grow_older(self) -> None:
        if self.age is not None:
            self.age += 1

    def kept(self, batch: Tensor, width: int) -> WholeStates:
        return self.of(batch)

    def next(self, rows: Places, signal: Tensor | None) -> WholeStates:
        return self


class WholePasses:
    """Passes over canvases in the middle of `prompt`. `refresh`: the number of passes to each whole one. `shifted`: row
    i predicts token i + 1."""

    def __init__(self, model: Any, prompt: WholePrompt, shifted: bool, refresh: int) -> None:
        self._model, self._prompt, self._shifted, self._refresh = model, prompt, shifted, refresh
        self.head = PlainHead(model)
        self.device: torch.device = model.device
        self.asynchronous = model.device.type == "cuda"
        above, below = prompt.around
        self._above = len(above)
        self._prompt_ids = sent(torch.tensor([[*above, *below]], dtype=torch.long), self.device)

    def start(self, ids: Tensor, rows: Places, drafted: Tensor) -> WholeStates:
        return self._prompt.states(len(ids))

    def judging(self, ids: Tensor, unseen: Places) -> WholeStates:
        states = self._prompt.states(len(ids))
        if self._refresh == 1:
            states.age = None
        return states

    def without_adapter(self) -> WholePasses:
        return self

    def run(self, ids: Tensor, carry: WholeStates, lengths: Sequence[int], rows: Places) -> Tensor:
        inside = torch.arange(ids.shape[1], device=self.device) < sent(torch.tensor(lengths), self.device)[:, None]
        there = (ids != ABSENT) & inside
        if carry.age is None and len(ids) > 1 and self._refresh > 1:
            # The prompt's rows for one of the canvases serve them all.
            self._hidden(ids[:1], self._prompt.own, there[:1])
            carry.take(self._prompt.states(len(ids)))
        hidden = self._hidden(ids, carry, there)
        canvas, position = rows
        if self._shifted:
            position = _before(there)[canvas, position]
        normed: Tensor = self._model.model.norm(hidden[canvas, position])
        return normed

    def _hidden(self, ids: Tensor, carry: WholeStates, there: Tensor) -> Tensor:
        """Hidden states [B, C, D] of the canvas' rows, before the last norm."""
        batch, width = ids.shape
        prompt = self._prompt_ids.shape[1]
        length = there.sum(-1)
        whole = carry.age is None or carry.age >= self._refresh
        rank = (there.cumsum(-1) - 1).clamp_(min=0)
        positions = self._above + rank
        places = torch.arange(prompt, prompt + width, device=self.device).expand(batch, -1)
        embedded = self._model.model.embed_tokens(ids.clamp(min=0))
        if whole:
            own = torch.arange(prompt, device=self.device).expand(batch, -1)
            moved = torch.where(own < self._above, own, own + length[:, None])
            positions, places = torch.cat([moved, positions], 1), torch.cat([own, places], 1)
            around = self._model.model.embed_tokens(self._prompt_ids).expand(batch, -1, -1)
            embedded = torch.cat([around, embedded], 1)
            carry.age = 0
        else:
            assert carry.length is not None
            by = length - carry.length
            if by.any():
                carry.buffers.move(slice(self._above, prompt), by)
        carry.length = length
        carry.grow_older()
        if carry is not self._prompt.own:
            self._prompt.own.grow_older()
        mask = torch.cat([there.new_ones(batch, prompt), there], 1)[:, None, None]
        hidden = carry.buffers.through(embedded, positions, mask, False, places)
        return hidden[:, prompt:] if whole else hidden


def _before(there: Tensor) -> Tensor:
    """The row before each row among those that are there, [B, C]. A canvas begins with a pinned row, which is never
    read."""
    places = torch.arange(there.shape[1], device=there.device)
    last = torch.where(there, places, 0).cummax(-1).values
    return torch.cat([last.new_zeros(len(last), 1), last[:, :-1]], 1)


class OpenWhole:
    """A masked model of this layout with its weights. Canvases have at most `canvas_tokens` rows."""

    captures = False

    def __init__(self, model: Any, mask: int, canvas_tokens: int, refresh: int) -> None:
        self._model, self._canvas, self._refresh = model, canvas_tokens, refresh
        self.mask = mask
        self.shifted: bool = model.config.shifted
        self.vocabulary: int = model.config.vocab_size

    def new_prompt(self, capacity: int) -> WholePrompt:
        return WholePrompt(self._model, capacity, self._canvas, self.mask)

    def passes_after(self, prompt: WholePrompt) -> WholePasses:
        return WholePasses(self._model, prompt, self.shifted, self._refresh)

    def prepare(self, prompt: WholePrompt, batch: int, tokens: int) -> None:
        """Nothing is captured."""

    def forget(self) -> None:
        """Nothing is held."""
