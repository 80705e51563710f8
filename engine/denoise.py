"""THE denoising loop: a canvas and a prompt's keys and values in, one `Progress` a step out.

One step is one decoder pass over the canvas. Logits, softmax and entropy exist for the hole rows alone; pinned rows
are never written, and their self-conditioning signal is their own embedding. How to sample, when to stop and which
tokens may stand where are objects passed in, so there is no second loop. Knows no text. Runs on the engine thread;
whoever iterates may stop at any time. Shapes: C canvas, H hole rows, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from engine import decoder
from engine.canvas import Canvas
from engine.errors import Cancelled
from engine.sampler import Sampler, Schedule, entropy
from engine.stopping import Deadline
from engine.types import CancelToken, Finish

if TYPE_CHECKING:
    from transformers import DynamicCache
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class StopRule(Protocol):
    def settled(self, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        """Whether to stop after a step with these ids and entropies (nats) of the hole rows."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the decoder sees of the prompt, and how many tokens it has: the canvas stands behind them."""

    seen: DynamicCache
    tokens: int


@dataclass(frozen=True, slots=True)
class Progress:
    """One step: the draft (argmax) of the hole rows, their entropies in nats, `finish` on the last step.

    `logits` [H, V] are at temperature 1, with the constraint applied.
    """

    index: int
    draft: list[int]
    entropies: list[float]
    logits: Tensor
    finish: Finish | None


@torch.inference_mode()
def denoise(
    model: DiffusionGemmaForBlockDiffusion,
    prompt: Prompt,
    canvas: Canvas,
    *,
    sampler: Sampler,
    schedule: Schedule,
    stop: StopRule,
    constrain: Callable[[Tensor], Tensor],
    deadline: Deadline,
    cancel: CancelToken,
    feed_pins: bool = True,
) -> Iterator[Progress]:
    """Denoise `canvas` (on the model's device) until `stop` says so, the steps are spent or `deadline` would be missed.

    A deadline is kept by not starting a step that would take as long as the last one and end too late; one step is
    always taken. Raises `Cancelled` before a pass once `cancel` is set. `feed_pins=False` gives pinned rows a zero
    self-conditioning signal, as vLLM does.
    """
    rows = canvas.rows
    fresh = _fresh_rows(canvas, sampler)
    kept = None if fresh is None else ~fresh
    current, noise = canvas.ids[rows], sampler.noise(len(rows))
    ids = canvas.ids.clone()
    ids[rows] = noise if fresh is None else torch.where(fresh, noise, current)
    pins = decoder.embed(model, ids)
    pins = pins if feed_pins else torch.zeros_like(pins)
    soft: Tensor | None = None
    for index in range(1, schedule.max_steps + 1):
        if cancel.cancelled:
            raise Cancelled("the request was cancelled")
        began = deadline.now()
        hidden = decoder.decode(model, ids[None], soft, prompt.seen, decoder.NO_MASKS, prompt.tokens)
        logits = constrain(decoder.logits(model, hidden[0, rows]))
        tempered = logits / schedule.temperature(index)
        probabilities = tempered.softmax(-1)
        entropies = entropy(probabilities)
        draft, nats = tempered.argmax(-1).tolist(), entropies.tolist()
        finish: Finish | None = None
        if stop.settled(draft, nats):
            finish = "stable"
        elif index == schedule.max_steps:
            finish = "steps"
        elif deadline.strikes_within(deadline.now() - began):
            finish = "deadline"
        if finish is None:
            ids[rows] = sampler.advance(ids[rows], probabilities, entropies, kept)
            soft = pins.index_copy(0, rows, decoder.soft_embeddings(model, tempered))[None]
        yield Progress(index, draft, nats, logits, finish)
        if finish is not None:
            return


def _fresh_rows(canvas: Canvas, sampler: Sampler) -> Tensor | None:
    """bool [H], the hole rows that start as noise and are renoised; None for all, which draws no random number."""
    if all(hole.strength == 1.0 for hole in canvas.holes):
        return None
    return torch.cat([sampler.choose(len(hole), hole.strength) for hole in canvas.holes])
