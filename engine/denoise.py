"""THE denoising loop: canvases and a way to run passes over them in, one `Progress` a step and candidate out.

One step is one decoder pass over all candidates together: several canvases of one request, say with holes of
different lengths, padded on the right where their lengths differ. Logits, softmax and entropy exist for the hole
rows alone; pinned rows are never written, and their self-conditioning signal is their own embedding. How to sample,
when to stop and which tokens may stand where are each candidate's own objects, and which candidates go on is asked of
`survivors`, so there is no second loop. Knows no text. Runs on the engine thread; whoever iterates may stop at any
time. Shapes: B candidates, C canvas, H hole rows of one, R of all, D hidden,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from engine import decoder
from engine.canvas import Canvas
from engine.errors import Cancelled
from engine.passes import Passes, places, sent, stacked
from engine.sampler import Sampler, Schedule, entropy
from engine.stopping import Deadline
from engine.types import CancelToken, Finish


class StopRule(Protocol):
    def settled(self, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        """Whether to stop after a step with these ids and entropies (nats) of the hole rows."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A canvas and what it is denoised with, none of it shared with other candidates. `constrain` changes logits
    [H, V] in place."""

    canvas: Canvas
    sampler: Sampler
    stop: StopRule
    constrain: Callable[[Tensor], object]


@dataclass(frozen=True, slots=True)
class Progress:
    """One candidate's step: the draft (argmax) of its hole rows, their entropies in nats, `finish` on its last step.

    `logits` [H, V] are at temperature 1, with the constraint applied. `candidate` counts from 0.
    """

    index: int
    draft: list[int]
    entropies: list[float]
    logits: Tensor
    finish: Finish | None
    candidate: int = 0


Survivors = Callable[[Sequence[Progress]], Collection[int]]
"""From a step's progress, which candidates are worth going on with."""


@torch.inference_mode()
def denoise(
    passes: Passes,
    candidates: Sequence[Candidate],
    *,
    schedule: Schedule,
    deadline: Deadline,
    cancel: CancelToken,
    survivors: Survivors | None = None,
) -> Iterator[list[Progress]]:
    """Denoise until every candidate is settled or dropped, the steps are spent or `deadline` would be missed.

    A deadline is kept by not starting a step that would take as long as the last one and end too late; one step is
    always taken. Raises `Cancelled` before a pass once `cancel` is set.
    """
    running = _Running(passes, candidates)
    for index in range(1, schedule.max_steps + 1):
        if cancel.cancelled:
            raise Cancelled("the request was cancelled")
        began = deadline.now()
        logits = running.logits()
        tempered = logits / schedule.temperature(index)
        probabilities = tempered.softmax(-1)
        nats = entropy(probabilities)
        steps = [
            Progress(index, draft.tolist(), own.tolist(), part, None, number)
            for number, part, draft, own in zip(
                running.numbers, *map(running.split, (logits, tempered.argmax(-1), nats)), strict=True
            )
        ]
        steps = [replace(step, finish=running.finish(step)) for step in steps]
        if index == schedule.max_steps:
            steps = [replace(step, finish=step.finish or "steps") for step in steps]
        elif deadline.strikes_within(deadline.now() - began):
            steps = [replace(step, finish=step.finish or "deadline") for step in steps]
        on = [step.candidate for step in steps if step.finish is None]
        if survivors is not None:
            kept = survivors(steps)
            on = [number for number in on if number in kept]
        if on:
            tempered, probabilities, nats = running.keep(on, tempered, probabilities, nats)
            running.advance(probabilities, nats, decoder.soft_embeddings(passes.model, tempered))
        yield steps
        if not on:
            return


class _Running:
    """The candidates that go on, by their `numbers`, side by side in one batch: `ids` [B, C], and the
    self-conditioning signal `soft` [B, C, D], None for zeros. Their hole rows, R in all, follow one another."""

    def __init__(self, passes: Passes, candidates: Sequence[Candidate]) -> None:
        self.numbers = list(range(len(candidates)))
        self._passes, self._candidates = passes, candidates
        device = passes.model.device
        self._arrange()
        self._ids = stacked([own.canvas.ids for own in candidates], device)
        self._ids[self._rows] = torch.cat(
            [own.sampler.noise(size) for own, size in zip(candidates, self._sizes, strict=True)]
        )
        pins = decoder.embed(passes.model, self._ids)
        self._pins = torch.zeros_like(pins) if passes.pinned_signal == "never" else pins
        self._soft: Tensor | None = None
        if passes.pinned_signal == "always":
            self._soft = pins.index_put(self._rows, pins.new_zeros(()))

    def _arrange(self) -> None:
        canvases = [self._candidates[number].canvas for number in self.numbers]
        rows = [canvas.rows for canvas in canvases]
        self._lengths = [len(canvas.ids) for canvas in canvases]
        self._sizes = [len(own) for own in rows]
        self._rows = places(rows, self._passes.model.device)

    def split(self, values: Tensor) -> Sequence[Tensor]:
        """[R, ...] as one part a candidate [H, ...]."""
        return values.split_with_sizes(self._sizes)

    def logits(self) -> Tensor:
        """Constrained logits [R, V], from one pass."""
        hidden = self._passes.run(self._ids, self._soft, self._lengths)
        logits = decoder.logits(self._passes.model, hidden[self._rows])
        for number, part in zip(self.numbers, self.split(logits), strict=True):
            self._candidates[number].constrain(part)
        return logits

    def finish(self, step: Progress) -> Finish | None:
        return "stable" if self._candidates[step.candidate].stop.settled(step.draft, step.entropies) else None

    def keep(self, numbers: Sequence[int], *values: Tensor) -> Sequence[Tensor]:
        """Go on with these candidates alone. Returns what is theirs of `values` [R, ...]."""
        if len(numbers) == len(self.numbers):
            return values
        at = [self.numbers.index(number) for number in numbers]
        parts = [self.split(own) for own in values]
        batch = sent(torch.tensor(at), self._passes.model.device)
        self.numbers = list(numbers)
        self._arrange()
        width = max(self._lengths)
        self._ids, self._pins = self._ids[batch, :width], self._pins[batch, :width]
        return [torch.cat([own[number] for number in at]) for own in parts]

    def advance(self, probabilities: Tensor, entropies: Tensor, signal: Tensor) -> None:
        """To the next step, from [R, V], [R] and the hole rows' self-conditioning signal [R, D]."""
        samplers = [self._candidates[number].sampler for number in self.numbers]
        each = zip(samplers, self.split(probabilities), self.split(entropies), strict=True)
        self._ids[self._rows] = torch.cat([sampler.advance(chances, nats) for sampler, chances, nats in each])
        self._soft = self._pins.index_put(self._rows, signal)
