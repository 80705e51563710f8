"""Adapters compared on held-out code: nats of the true tokens by slot, all slots undecided, on the same holes.

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
"""The slots of the summary, from and to."""

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
def nats(base: Base, adapters: Sequence[Adapter], mask: int, windows: Sequence[Window]) -> list[Tensor]:
    """For each adapter the nats [holes, slots] of the true tokens, all slots undecided; NaN behind a hole's end."""
    rows: list[list[Tensor]] = [[] for _ in adapters]
    for start in range(0, len(windows), _TOGETHER):
        few = windows[start : start + _TOGETHER]
        batch = _blank(few).to(base.device)
        _, states = read(base, batch)
        inside = torch.arange(batch.slots.shape[1]) < torch.tensor([window.hole for window in few])[:, None]
        for adapter, measured in zip(adapters, rows, strict=True):
            logits = base.logits(predicted(base, adapter, mask, batch, states)[:, 0])
            logits[..., mask] = -torch.inf
            true = logits.log_softmax(-1).gather(2, batch.slots[..., None])[..., 0]
            measured.append((-true.cpu()).masked_fill(~inside, torch.nan))
    return [torch.cat(measured) for measured in rows]


def grouped(nats: Tensor) -> Tensor:
    """Each hole's mean [holes, groups] over the slots of a group; NaN where the hole ends before the group."""
    return torch.stack([nats[:, start:end].nanmean(dim=1) for start, end in GROUPS], dim=1)


def table(names: Sequence[str], measured: Sequence[Tensor]) -> str:
    """A Markdown table of the adapters' mean nats, and of their differences from the first one."""
    lines = ["| slots | holes | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    means = [grouped(values) for values in measured]
    for group, (start, end) in enumerate(GROUPS):
        first = means[0][:, group]
        cells = [f"{Mean.of(first).mean:.3f}"]
        for other in means[1:]:
            difference = Mean.of(other[:, group] - first)
            cells.append(f"{Mean.of(other[:, group]).mean:.3f} ({difference.mean:+.3f} +- {difference.error:.3f})")
        slots = f"{start + 1}" if end == start + 1 else f"{start + 1}-{end}"
        lines.append(f"| {slots} | {Mean.of(first).count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _blank(windows: Sequence[Window]) -> Batch:
    context = torch.tensor([window.context for window in windows])
    slots = torch.tensor([window.slots for window in windows])
    undecided = torch.ones(len(windows), 1, slots.shape[1], dtype=torch.bool)
    return Batch(context, slots, undecided, undecided.float())
