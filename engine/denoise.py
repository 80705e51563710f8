"""THE denoising loop: canvases and a prompt's keys and values in, one `Progress` a step and candidate out.

One step is one decoder pass over all candidates together: several canvases of one request, say with holes of
different lengths, padded on the right where their lengths differ. Logits, softmax and entropy exist for the hole
rows alone; pinned rows are never written, and their self-conditioning signal is their own embedding. How to sample,
when to stop and which tokens may stand where are each candidate's own objects, and which candidates go on is asked of
`survivors`, so there is no second loop. Knows no text. Runs on the engine thread; whoever iterates may stop at any
time. Shapes: B candidates, C canvas, H hole rows, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from engine import decoder
from engine.canvas import Canvas
from engine.errors import Cancelled
from engine.profile import PinnedSignal
from engine.sampler import Sampler, Schedule, entropy
from engine.stopping import Deadline
from engine.types import CancelToken, Finish

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class StopRule(Protocol):
    def settled(self, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        """Whether to stop after a step with these ids and entropies (nats) of the hole rows."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A canvas (on the model's device) and what it is denoised with, none of it shared with other candidates.

    `pinned_signal`: from which step on pinned rows have their own embedding as self-conditioning signal; it is zero
    before. (Transformers' first step has zeros for all rows, vLLM leaves it at that for pinned ones.)
    """

    canvas: Canvas
    sampler: Sampler
    stop: StopRule
    constrain: Callable[[Tensor], Tensor]
    pinned_signal: PinnedSignal = "after-first"


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
    model: DiffusionGemmaForBlockDiffusion,
    prompt: decoder.Prompt,
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
    running = [_Running(model, number, candidate) for number, candidate in enumerate(candidates)]
    for index in range(1, schedule.max_steps + 1):
        if cancel.cancelled:
            raise Cancelled("the request was cancelled")
        began = deadline.now()
        logits = _logits(model, prompt, running)
        tempered = torch.cat(logits) / schedule.temperature(index)
        probabilities = tempered.softmax(-1)
        sizes = [len(part) for part in logits]
        drafts, entropies = tempered.argmax(-1).split_with_sizes(sizes), entropy(probabilities).split_with_sizes(sizes)
        steps = [
            Progress(index, draft.tolist(), nats.tolist(), part, None, own.number)
            for own, part, draft, nats in zip(running, logits, drafts, entropies, strict=True)
        ]
        steps = [replace(step, finish=own.finish(step)) for own, step in zip(running, steps, strict=True)]
        if index == schedule.max_steps:
            steps = [replace(step, finish=step.finish or "steps") for step in steps]
        elif deadline.strikes_within(deadline.now() - began):
            steps = [replace(step, finish=step.finish or "deadline") for step in steps]
        on = [step.finish is None for step in steps]
        if survivors is not None:
            kept = survivors(steps)
            on = [going and step.candidate in kept for going, step in zip(on, steps, strict=True)]
        parts = zip(
            running, probabilities.split_with_sizes(sizes), entropies, tempered.split_with_sizes(sizes), strict=True
        )
        left = [part for part, going in zip(parts, on, strict=True) if going]
        if left:
            soft = decoder.soft_embeddings(model, torch.cat([part[3] for part in left]))
            signals = soft.split_with_sizes([len(part[3]) for part in left])
            for (own, chances, nats, _), signal in zip(left, signals, strict=True):
                own.advance(chances, nats, signal)
        running = [part[0] for part in left]
        yield steps
        if not running:
            return


class _Running:
    """What changes about a candidate from step to step: `ids` [C], and `soft` [C, D], None for zeros."""

    def __init__(self, model: DiffusionGemmaForBlockDiffusion, number: int, candidate: Candidate) -> None:
        canvas, sampler = candidate.canvas, candidate.sampler
        self.number, self.candidate, self.rows = number, candidate, canvas.rows
        self.ids = canvas.ids.index_copy(0, self.rows, sampler.noise(len(self.rows)))
        pins = decoder.embed(model, self.ids)
        self._pins = torch.zeros_like(pins) if candidate.pinned_signal == "never" else pins
        self.soft = pins.index_fill(0, self.rows, 0.0) if candidate.pinned_signal == "always" else None

    def finish(self, step: Progress) -> Finish | None:
        return "stable" if self.candidate.stop.settled(step.draft, step.entropies) else None

    def advance(self, probabilities: Tensor, entropies: Tensor, signal: Tensor) -> None:
        """To the next step, from [H, V], [H] and the hole rows' self-conditioning signal [H, D]."""
        self.ids[self.rows] = self.candidate.sampler.advance(probabilities, entropies)
        self.soft = self._pins.index_copy(0, self.rows, signal)


def _logits(
    model: DiffusionGemmaForBlockDiffusion, prompt: decoder.Prompt, running: Sequence[_Running]
) -> list[Tensor]:
    """Constrained logits [H, V] of each candidate, from one pass."""
    soft = [own.soft for own in running if own.soft is not None]
    hidden = decoder.decode_all(model, [own.ids for own in running], soft or None, prompt)
    rows = torch.cat([states[own.rows] for own, states in zip(running, hidden, strict=True)])
    parts = decoder.logits(model, rows).split_with_sizes([len(own.rows) for own in running])
    return [own.candidate.constrain(part) for own, part in zip(running, parts, strict=True)]
