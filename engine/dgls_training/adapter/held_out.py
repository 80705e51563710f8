"""Adapters compared on held-out code: nats of the true tokens, and exact fills, on the same holes.

The holes end with their line and lie in packages outside the training corpus. Contexts are as long as the product cuts
them. Nats tell adapters apart on a hundred holes where exact matches do not; differences are paired, so the spread of
the holes cancels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from dgls_training.adapter.base import Base
from dgls_training.adapter.examples import Cutter, Lengths, Window
from dgls_training.adapter.objective import Batch, predicted, read
from dgls_training.adapter.weights import Adapter

LENGTHS = Lengths(before=299, after=149, slots=12)
"""How the product cuts a prompt of 448 tokens; slots behind the twelfth are not measured."""

GROUPS = ((0, 1), (1, 6), (6, 12))
"""Slots whose nats are averaged, from and to, while all slots are undecided."""

FIGURES = ("slot 1", "slots 2-6", "slots 7-12", "next", "exact")
"""Nats of the three groups; `next`: the mean nats of a hole's slots, each with all before it decided; `exact`: 1 if the
likeliest tokens are then the true ones in the whole hole, so that a fill from the left is exact."""

_TOGETHER = 8
"""Holes in a batch."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over `count` holes, with its standard error."""

    mean: float
    error: float
    count: int

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """Over the values that are not NaN."""
        known = values[~values.isnan()]
        error = float(known.std() / len(known) ** 0.5) if len(known) > 1 else float("nan")
        return cls(float(known.mean()), error, len(known))


def holes(cutter: Cutter, count: int, seed: int) -> list[Window]:
    rng = random.Random(seed)
    return [cutter.draw_line(rng) for _ in range(count)]


@torch.no_grad()
def measured(base: Base, adapters: Sequence[Adapter], mask: int, windows: Sequence[Window]) -> list[Tensor]:
    """For each adapter the `FIGURES` [holes, 5]; NaN for a group behind a hole's end."""
    rows: list[list[Tensor]] = [[] for _ in adapters]
    for start in range(0, len(windows), _TOGETHER):
        few = windows[start : start + _TOGETHER]
        batch = _blank_and_whole(few).to(base.device)
        _, states = read(base, batch)
        behind = torch.arange(batch.slots.shape[1]) >= torch.tensor([window.hole for window in few])[:, None]
        for adapter, own in zip(adapters, rows, strict=True):
            logits = base.logits(predicted(base, adapter, mask, batch, states))
            logits[..., mask] = -torch.inf
            true = batch.slots[:, None, :, None].expand(-1, 2, -1, -1)
            nats = -logits.log_softmax(-1).gather(3, true)[..., 0].cpu()
            blank, following = nats.masked_fill(behind[:, None], torch.nan).unbind(1)
            right = (logits[:, 1].argmax(-1) == batch.slots).cpu() | behind
            groups = [blank[:, start:end].nanmean(dim=1) for start, end in GROUPS]
            own.append(torch.stack([*groups, following.nanmean(dim=1), right.all(dim=1).float()], dim=1))
    return [torch.cat(own) for own in rows]


def table(names: Sequence[str], figures: Sequence[Tensor]) -> str:
    """A Markdown table of the adapters' mean figures, and of their differences from the first one."""
    lines = ["| figure | holes | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for column, name in enumerate(FIGURES):
        first, *others = (own[:, column] for own in figures)
        cells = [f"{Mean.of(first).mean:.3f}"]
        for other in others:
            difference = Mean.of(other - first)
            cells.append(f"{Mean.of(other).mean:.3f} ({difference.mean:+.3f} +- {difference.error:.3f})")
        lines.append(f"| {name} | {Mean.of(first).count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _blank_and_whole(windows: Sequence[Window]) -> Batch:
    """Two draws of each window: all slots undecided, and all decided."""
    context = torch.tensor([window.context for window in windows])
    slots = torch.tensor([window.slots for window in windows])
    undecided = torch.ones(len(windows), 2, slots.shape[1], dtype=torch.bool)
    undecided[:, 1, :-1] = False
    return Batch(context, slots, undecided, undecided.float())
