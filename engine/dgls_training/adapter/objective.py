"""The adapter's training objective: next slots from the true tokens, those behind them half from the base itself.

A slot is next when all slots before it are decided: the base has seen nothing there that the adapter has not. For the
slots behind it, the base reads the true code from the left and gives a distribution (the soft target), which the
adapter has to give with only some slots decided. Nearer slots weigh more, because a fill reads only the next few.
Several draws of decided slots share a context, and lie in one canvas without seeing each other. In a draw whose slots
are all decided every slot is a next one: its rows are a causal pass.

Shapes: C contexts, L context, R draws of a context, N slots (and rows of a draw), n undecided slots of a batch, D
hidden, V vocabulary. Row i of a draw predicts slot i: row 0 is the context's last token, row i shows slot i - 1.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from dgls_training.adapter.base import Base, States
from dgls_training.adapter.examples import Window, undecided
from dgls_training.adapter.weights import Adapter

DECAY, LEAST = 0.82, 0.12
"""A slot's weight decays with its distance from the first undecided one, down to the least."""

BEHIND = 0.25
"""The factor for slots behind the one that ends the hole."""

_CHUNK = 128
"""The number of slots whose logits are in memory together."""


@dataclass(frozen=True, slots=True)
class Batch:
    """context [C, L], slots [C, N], undecided [C, R, N], and weights [C, R, N], which are zero where nothing is
    measured."""

    context: Tensor
    slots: Tensor
    undecided: Tensor
    weights: Tensor

    @classmethod
    def of(cls, windows: Sequence[Window], draws: int, read: int, rng: random.Random) -> Self:
        """`draws` of each window; in the first `read` of them all slots are decided."""
        masks = [[undecided(window, rng, whole=draw < read) for draw in range(draws)] for window in windows]
        weights = [[_weights(mask, window.hole) for mask in own] for own, window in zip(masks, windows, strict=True)]
        context = torch.tensor([window.context for window in windows])
        slots = torch.tensor([window.slots for window in windows])
        return cls(context, slots, torch.tensor(masks), torch.tensor(weights))

    @property
    def draws(self) -> int:
        return self.undecided.shape[0] * self.undecided.shape[1]

    @property
    def next(self) -> Tensor:
        """bool [C, R, N]: the measured slots before which no slot is undecided."""
        before = self.undecided.cumsum(-1) - self.undecided.long()
        return (before == 0) & (self.weights > 0)

    def to(self, device: torch.device) -> Self:
        moved = (tensor.to(device) for tensor in (self.context, self.slots, self.undecided, self.weights))
        return type(self)(*moved)


def _weights(mask: Sequence[bool], hole: int) -> list[float]:
    """Undecided slots are measured; if only the last one is undecided, all slots are."""
    first = mask.index(True)
    if first == len(mask) - 1:
        return [1.0 if slot <= hole else BEHIND for slot in range(len(mask))]
    return [
        max(LEAST, DECAY ** (slot - first)) * (1.0 if slot <= hole else BEHIND) if open else 0.0
        for slot, open in enumerate(mask)
    ]


@dataclass(frozen=True, slots=True)
class Losses:
    """`total` is to be minimised; `hard` is the weighted mean of the true tokens' nats, `next` the mean of
    next slots'."""

    total: Tensor
    hard: float
    next: float


def seen_rows(undecided: Tensor) -> Tensor:
    """bool [..., T, T] from the undecided rows [..., T]: True where a row sees a row, by the rule of
    `dgls_engine/model/masked/passes.py`."""
    rows = torch.arange(undecided.shape[-1], device=undecided.device)
    group = undecided.cumsum(-1)  # decided rows between the same undecided ones are in one group
    elsewhere = undecided[..., :, None] | (group[..., :, None] < group[..., None, :])
    decided = ~undecided[..., None, :]
    return decided & ((rows <= rows[:, None]) | elsewhere) | (rows == rows[:, None])


def read(base: Base, batch: Batch) -> tuple[Tensor, States]:
    """One causal pass over contexts and true tokens: the base's hidden states [C, N, D] that predict the slots, and the
    keys and values in front of the canvas, which begins with the context's last token."""
    canvas = batch.context.shape[1] - 1
    hidden, states = base.read(torch.cat([batch.context, batch.slots[:, :-1]], dim=1))
    return hidden[:, canvas:], [(keys[:, :, :canvas], values[:, :, :canvas]) for keys, values in states]


def predicted(base: Base, adapter: Adapter, mask: int, batch: Batch, states: States) -> Tensor:
    """The hidden states [C, R, N, D] with the adapter that predict the slots of each draw."""
    contexts, length = batch.context.shape
    draws, slots = batch.undecided.shape[1:]
    shown = torch.where(batch.undecided, mask, batch.slots[:, None])[..., :-1]
    last = batch.context[:, None, -1:].expand(-1, draws, -1)
    ids = torch.cat([last, shown], dim=-1)
    hidden_rows = functional.pad(batch.undecided[..., :-1], (1, 0))
    seen = torch.zeros(contexts, draws, slots, draws, slots, dtype=torch.bool, device=base.device)
    seen.diagonal(dim1=1, dim2=3).copy_(seen_rows(hidden_rows).permute(0, 2, 3, 1))
    inside = seen.flatten(3, 4).flatten(1, 2)
    everything = functional.pad(inside, (length - 1, 0), value=True)
    positions = (length - 1 + torch.arange(slots, device=base.device)).repeat(draws).expand(contexts, -1)
    hidden = base.canvas(ids.flatten(1), positions, mask, everything, states, adapter)
    return hidden.view(contexts, draws, slots, -1)


def losses(base: Base, adapter: Adapter, mask: int, batch: Batch, soft: float) -> Losses:
    """`soft`: the share of the base's distribution in the target of a slot that is not next."""
    text, states = read(base, batch)
    hidden = predicted(base, adapter, mask, batch, states)
    chosen = batch.weights > 0
    following = batch.next[chosen]
    context, _, slot = chosen.nonzero(as_tuple=True)
    weights = batch.weights[chosen] / batch.weights.sum()
    teacher = _logits(base, text.flatten(0, 1), mask).softmax(-1)
    place = context * text.shape[1] + slot
    total, nats = _Mixed.apply(  # type: ignore[no-untyped-call]
        hidden[chosen], batch.slots[context, slot], teacher, place, weights, base, mask, soft * ~following
    )
    return Losses(total, float((nats * weights).sum()), float(nats[following].mean()))


class _Mixed(torch.autograd.Function):
    """Cross-entropy against a mean of true token and teacher, and its gradient in the same pass over the logits.

    Autograd would keep the logits of all slots, at 0.2 MB a slot, and pass over them several times more.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        true: Tensor,
        teacher: Tensor,
        place: Tensor,
        weights: Tensor,
        base: Base,
        mask: int,
        soft: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """From hidden [n, D], true [n], teacher [C * N, V], place [n] in `teacher`, weights [n] and soft [n] to the
        loss and the true tokens' nats [n]."""
        gradient, nats = torch.empty_like(hidden), []
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(hidden), _CHUNK):
            rows = slice(start, start + _CHUNK)
            logits = _logits(base, hidden[rows], mask)
            log_normalizer = logits.logsumexp(-1)
            share = soft[rows, None]
            target = teacher[place[rows]].mul_(share)
            target.scatter_add_(1, true[rows, None], (1 - share).to(target.dtype))
            likely = logits.sub_(log_normalizer[:, None])
            nats.append(-likely.gather(1, true[rows, None])[:, 0])
            total -= torch.linalg.vecdot(target, likely) @ weights[rows]
            off = likely.exp_().sub_(target).mul_(weights[rows, None])
            gradient[rows] = off.to(hidden.dtype) @ base.head
        ctx.save_for_backward(gradient)
        every = torch.cat(nats)
        ctx.mark_non_differentiable(every)
        return total, every

    @staticmethod
    def backward(ctx: Any, total: Tensor, nats: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return total * gradient, None, None, None, None, None, None, None


def _logits(base: Base, hidden: Tensor, mask: int) -> Tensor:
    """Logits in which the mask token has no probability; finite, because a target of 0 is multiplied with them."""
    logits = base.logits(hidden)
    logits[..., mask] = -1e9
    return logits
