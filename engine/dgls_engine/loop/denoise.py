"""The one denoising loop: it takes canvases and passes, and yields a `Draft` of each rival after each step.

One step is one decoder pass over all rivals: the canvases of one request, which may have holes of different lengths
and are padded on the right. Only hole rows have logits, softmax and entropy; pinned rows are never written. The family
decides what one step passes to the next (`Carry`). Each rival brings its sampler, stop rule and constraint;
`choosing` combines these for the batch, and `survivors` decides which rivals go on. Knows no text. Runs on the
engine thread; the caller may stop iterating at any time. Shapes: B rivals, C canvas, R hole rows of all rivals,
D hidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise, starmap
from typing import Any, Protocol

import torch
from torch import Tensor

from dgls_engine.errors import Cancelled
from dgls_engine.loop.choice import Choice, Choosing, Plain
from dgls_engine.loop.constraint import Constraint
from dgls_engine.loop.leads import Draft
from dgls_engine.loop.sampler import no_numbers
from dgls_engine.loop.stopping import Deadline, Schedule
from dgls_engine.model.batches import places, sent, stacked
from dgls_engine.model.passes import Carry, Passes
from dgls_engine.text.canvas import Canvas
from dgls_engine.types import CancelToken


class StopRule(Protocol):
    def settled(self, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        """Whether to stop after a step with these ids and entropies (nats) of the hole rows."""
        ...


class Noisy(Protocol):
    def noise(self, rows: int) -> Tensor:
        """The ids [H] that `rows` undecided hole rows show at the first step."""
        ...


@dataclass(frozen=True, slots=True)
class Rival:
    """A canvas with the objects that denoise it. Rivals share none of them."""

    canvas: Canvas
    sampler: Noisy
    stop: StopRule
    constraint: Constraint


Survivors = Callable[[Sequence[Draft]], Collection[int]]
"""Maps a step's drafts to the numbers of the rivals that may go on."""


@torch.inference_mode()
def denoise(
    passes: Passes[Any],
    rivals: Sequence[Rival],
    *,
    schedule: Schedule,
    deadline: Deadline,
    cancel: CancelToken,
    survivors: Survivors | None = None,
    choosing: Choosing = Plain,
) -> Iterator[list[Draft]]:
    """Denoise until every rival is settled or dropped, the steps are spent or `deadline` would be missed.

    No step starts that would miss the deadline if it took as long as the last one; the first step always runs. Raises
    `Cancelled` before the next pass once `cancel` is set. On a GPU, a pass that was started runs to its end.
    """
    running = _Running(passes, rivals, choosing)
    for index in range(1, schedule.max_steps + 1):
        if cancel.cancelled:
            raise Cancelled
        running.start(index, schedule, deadline)
        drafts = running.drafts()
        if index == schedule.max_steps:
            drafts = [replace(draft, finish=draft.finish or "steps") for draft in drafts]
        elif deadline.strikes_within(deadline.now() - running.began):
            drafts = [replace(draft, finish=draft.finish or "deadline") for draft in drafts]
        on = [draft.rival for draft in drafts if draft.finish is None]
        if survivors is not None:
            kept = survivors(drafts)
            on = [number for number in on if number in kept]
        if on:
            running.advance(on)
            if passes.asynchronous:
                running.start(index + 1, schedule, deadline)
        yield drafts
        if not on:
            return


class _Running:
    """One batch of the rivals that go on: their `numbers`, their ids [B, C], and the last step's `Carry`. Their
    hole rows, R in total, follow one another."""

    def __init__(self, passes: Passes[Any], rivals: Sequence[Rival], choosing: Choosing) -> None:
        self.numbers = list(range(len(rivals)))
        self._passes, self._rivals, self._choosing = passes, rivals, choosing
        device = passes.device
        self._arrange()
        self._ids = stacked([own.canvas.ids for own in rivals], device)
        noise = torch.cat([own.sampler.noise(len(own.constraint.leads)) for own in rivals])
        drafted = sent(torch.tensor([row for own in rivals for row in own.canvas.resumed]), device)
        self._ids[self._rows] = torch.where(drafted, self._ids[self._rows], noise)
        self._choice: Choice | None = None
        self._carry: Carry = passes.start(self._ids, self._rows, drafted)

    def _arrange(self) -> None:
        running = [self._rivals[number] for number in self.numbers]
        rows = [own.canvas.rows for own in running]
        self._lengths = [len(own.canvas.ids) for own in running]
        self._parts = list(starmap(slice, pairwise(accumulate(map(len, rows), initial=0))))
        self._rows = places(rows, self._passes.device)
        self._chooser = self._choosing(
            self._passes.head, [own.sampler for own in running], [own.constraint for own in running]
        )

    def start(self, index: int, schedule: Schedule, deadline: Deadline) -> None:
        """Start a step's pass, unless it has started already."""
        if self._choice is None:
            self.began = deadline.now()
            rows = self._chooser.reads(self._rows)
            hidden = self._passes.run(self._ids, self._carry, self._lengths, rows)
            self._choice = self._chooser.choose(hidden, index, schedule.temperature(index))

    def drafts(self) -> list[Draft]:
        """The drafts of all rivals. Waits for the pass."""
        assert self._choice is not None
        ids, entropies, log_probabilities = self._choice.report()
        if any(map(math.isnan, log_probabilities)):
            raise no_numbers()
        drafts = []
        for number, rows in zip(self.numbers, self._parts, strict=True):
            draft = Draft(number, ids[rows], entropies[rows], log_probabilities[rows])
            settled = self._rivals[number].stop.settled(draft.ids, draft.entropies)
            drafts.append(replace(draft, finish="stable") if settled else draft)
        return drafts

    def advance(self, numbers: Sequence[int]) -> None:
        """Prepare the next step with these rivals alone."""
        assert self._choice is not None
        at = [self.numbers.index(number) for number in numbers]
        ids, signal = self._choice.advance(at)
        self._choice = None  # free its memory before the next choice needs as much
        if len(numbers) < len(self.numbers):
            self.numbers = list(numbers)
            self._arrange()
            batch, width = sent(torch.tensor(at), self._passes.device), max(self._lengths)
            self._ids, self._carry = self._ids[batch, :width], self._carry.kept(batch, width)
        self._ids[self._rows] = ids
        self._carry = self._carry.next(self._rows, signal)
