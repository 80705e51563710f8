"""Passes over canvases of a masked model: its `model.passes.Passes` and its `family.OpenModel`.

A row with the mask token is undecided, and no other row sees it. An undecided row sees the prompt, itself, and all
decided rows of its canvas. A decided row sees the same, except decided rows to its right with no undecided row between
them. If no pinned row follows a hole, the decided rows are computed once, as in an autoregressive model. Otherwise the
row that predicts the hole's next token sees what stands behind the hole.

Row i predicts token i + 1, as in the autoregressive model, so a canvas begins with a pinned token. A pass computes the
rows that it reads and those that are new. Knows tensors, no text; runs on the engine thread. Shapes: B canvases, C
canvas, n computed rows of a canvas, R rows to read of all canvases, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dgls_engine.model.batches import Places, sent, shared_prefix
from dgls_engine.model.masked.prompt import Buffers, CausalPrompt
from dgls_engine.model.masked.skeleton import MASK_ROW


class PlainHead:
    """A `model.passes.Head` without a soft cap and without a signal."""

    cap: float | None = None

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def device(self) -> torch.device:
        device: torch.device = self._model.device
        return device

    def raw(self, hidden: Tensor) -> Tensor:
        raw: Tensor = self._model.lm_head(hidden)
        return raw

    def logits(self, hidden: Tensor) -> Tensor:
        return self.raw(hidden).float()

    def signal(self, logits: Tensor) -> None:
        return None

    def mean(self, probabilities: Tensor) -> None:
        return None


class CanvasStates:
    """A `model.passes.Carry`: the keys and values of canvas rows. Those of the first rows of canvas b hold as long as
    these rows show the ids `computed[b]`."""

    def __init__(self, buffers: Buffers, computed: Sequence[Sequence[int]]) -> None:
        self.buffers = buffers
        self.computed = computed

    def kept(self, batch: Tensor, width: int) -> CanvasStates:
        return CanvasStates(self.buffers.copied(batch), [self.computed[number] for number in batch.tolist()])

    def next(self, rows: Places, signal: Tensor | None) -> CanvasStates:
        return self


class MaskedPasses:
    """Passes over canvases behind the current tokens of `prompt`. `adapted`: whether the adapter acts."""

    def __init__(self, model: Any, prompt: CausalPrompt, mask: int, adapted: bool = True) -> None:
        self._model, self._prompt, self._mask, self._adapted = model, prompt, mask, adapted
        self.head = PlainHead(model)
        self.device: torch.device = model.device
        self.asynchronous = model.device.type == "cuda"

    def start(self, ids: Tensor, rows: Places, drafted: Tensor) -> CanvasStates:
        return CanvasStates(self._prompt.canvases(len(ids)), [()] * len(ids))

    def judging(self, ids: Tensor, unseen: Places) -> CanvasStates:
        return CanvasStates(self._prompt.canvases(len(ids)), [()] * len(ids))

    def without_adapter(self) -> MaskedPasses:
        return MaskedPasses(self._model, self._prompt, self._mask, adapted=False)

    def run(self, ids: Tensor, carry: CanvasStates, lengths: Sequence[int], rows: Places) -> Tensor:
        undecided = ids == self._mask
        canvas, position = rows
        predicting = list(zip(canvas.tolist(), (position - 1).tolist(), strict=True))
        read: list[set[int]] = [set() for _ in lengths]
        for number, row in predicting:
            read[number].add(row)
        shown = [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)]
        masks = [[id == self._mask for id in row] for row in shown]
        held = map(shared_prefix, shown, carry.computed)
        computed = [sorted(_stale(*each)) for each in zip(masks, held, read, strict=True)]
        at = sent(torch.tensor(_padded(computed)), self.device)
        embedded = self._model.model.embed_tokens(ids.gather(1, at))
        if (mask_embedding := getattr(self._model.model, MASK_ROW, None)) is not None:
            masked = undecided.gather(1, at)[..., None]
            embedded = torch.where(masked, mask_embedding.to(embedded.dtype), embedded)
        mask = self._attention_mask(undecided, lengths, at)
        hidden = carry.buffers.through(embedded, self._prompt.tokens + at, mask, self._adapted)
        carry.computed = [row[: _lasting(mask)] for row, mask in zip(shown, masks, strict=True)]
        place = [computed[number].index(row) for number, row in predicting]
        normed: Tensor = self._model.model.norm(hidden[canvas, sent(torch.tensor(place), self.device)])
        return normed

    def _attention_mask(self, undecided: Tensor, lengths: Sequence[int], at: Tensor) -> Tensor:
        """bool [B, 1, n, prompt + C], True where a row of `at` [B, n] sees a key."""
        batch, width = undecided.shape
        keys = torch.arange(width, device=undecided.device)
        inside = keys < sent(torch.tensor(lengths), undecided.device)[:, None]
        group = undecided.cumsum(-1)  # decided rows between the same undecided ones are in one group
        elsewhere = undecided.gather(1, at)[..., None] | (group.gather(1, at)[..., None] < group[:, None])
        decided = (inside & ~undecided)[:, None]
        seen = decided & ((keys <= at[..., None]) | elsewhere) | (keys == at[..., None])
        return torch.cat([seen.new_ones(batch, at.shape[1], self._prompt.tokens), seen], dim=-1)[:, None]


def _lasting(undecided: Sequence[bool]) -> int:
    """The number of rows at the start of a canvas whose states hold as long as these rows stay the same: if all decided
    rows stand in front of the first undecided one, each of them sees only decided rows to its left."""
    end = undecided.index(True) if True in undecided else len(undecided)
    return end if all(undecided[end:]) else 0


def _stale(undecided: Sequence[bool], held: int, read: set[int]) -> set[int]:
    """The rows that a pass computes: those to read, and those that others see, without the first `held`."""
    return read | {row for row in range(held, len(undecided)) if not undecided[row]}


def _padded(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows of equal length; the last row is repeated, and its states are written again."""
    most = max(map(len, rows))
    return [[*own, *[own[-1]] * (most - len(own))] for own in rows]


class OpenMasked:
    """A masked model with its weights. Canvases have at most `canvas_tokens` rows."""

    captures = False
    shifted = True

    def __init__(self, model: Any, mask: int, canvas_tokens: int) -> None:
        self._model, self._canvas = model, canvas_tokens
        self.mask = mask
        self.vocabulary: int = model.config.vocab_size

    def new_prompt(self, capacity: int) -> CausalPrompt:
        return CausalPrompt(self._model, capacity, self._canvas)

    def passes_after(self, prompt: CausalPrompt) -> MaskedPasses:
        return MaskedPasses(self._model, prompt, self.mask)

    def prepare(self, prompt: CausalPrompt, batch: int, tokens: int) -> None:
        """Nothing is captured."""

    def forget(self) -> None:
        """Nothing is held."""


class CausalBase:
    """A `family.Causal`: the model without its adapter."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._prompt = CausalPrompt(model, 1024, 0)
        self.vocabulary: int = model.config.vocab_size

    @property
    def parameters(self) -> int:
        named = self._model.named_parameters()
        return sum(weight.numel() for name, weight in named if not name.endswith(MASK_ROW))

    def read(self, ids: Sequence[int]) -> Tensor:
        end = self._prompt.tokens + len(ids)
        if end > self._prompt.capacity:
            self._prompt = self._prompt.grown(2 * end)
        hidden = self._prompt.read(ids)[-1]
        self._prompt.tokens = end
        logits: Tensor = self._model.lm_head(self._model.model.norm(hidden))
        return logits.float()
