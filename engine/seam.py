"""How much a filled canvas surprises the model: the score by which a hole's length is chosen.

A wrong length shows at the seam, in the pinned code after the hole, more than inside it. One pass over the filled
canvas reads the negative log-likelihood of the hole's tokens and of their nearest pinned neighbours; their sum is the
score. In that pass the neighbours behind the hole are noise, the same for all canvases: a model that was trained to
copy clean tokens finds them likely wherever they stand (docs/log.md), but what it would write there itself it only
says of tokens that it does not see. Knows no text and no policy; runs on the engine thread. Shapes: C canvas, D hidden,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import decoder
from engine.canvas import Canvas
from engine.profile import PinnedSignal

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion

AFTER, BEFORE = 8, 4
"""How many pinned tokens behind the hole and in front of it count."""


@torch.inference_mode()
def surprises(
    model: DiffusionGemmaForBlockDiffusion,
    prompt: decoder.Prompt,
    canvases: Sequence[Canvas],
    drafts: Sequence[Sequence[int]],
    hole: int,
    noise: Tensor,
    pinned_signal: PinnedSignal = "after-first",
) -> list[float]:
    """Nats, one a canvas: the sum over the tokens of its hole number `hole` and those around it, once all its hole
    rows hold their draft. `noise` [AFTER] are the ids that stand behind the hole. All canvases in one pass."""
    filled = [_filled(canvas, draft) for canvas, draft in zip(canvases, drafts, strict=True)]
    rows = [seam_rows(canvas, hole) for canvas in canvases]
    shown, signals = [], []
    for ids, canvas, own in zip(filled, canvases, rows, strict=True):
        behind = own[own >= canvas.holes[hole].end]
        shown.append(ids.index_copy(0, behind, noise[: len(behind)]))
        unseen = torch.cat([canvas.rows, behind])
        signals.append(decoder.embed(model, ids).index_fill(0, unseen, 0.0))
    hidden = decoder.decode_all(model, shown, signals if pinned_signal == "always" else None, prompt)
    logits = decoder.logits(model, torch.cat([states[own] for states, own in zip(hidden, rows, strict=True)]))
    wanted = torch.cat([ids[own] for ids, own in zip(filled, rows, strict=True)])
    nats = -logits.log_softmax(-1).gather(1, wanted[:, None])[:, 0]
    return [float(part.sum()) for part in nats.split_with_sizes([len(own) for own in rows])]


def seam_rows(canvas: Canvas, hole: int) -> Tensor:
    """The positions of a hole, and of the pinned ones among its neighbours, ascending."""
    span = canvas.holes[hole]
    start, end = max(0, span.start - BEFORE), min(len(canvas.ids), span.end + AFTER)
    near = torch.arange(start, end, device=canvas.pinned.device)
    inside = (near >= span.start) & (near < span.end)
    return near[inside | canvas.pinned[near]]


def _filled(canvas: Canvas, draft: Sequence[int]) -> Tensor:
    ids = canvas.ids.clone()
    ids[canvas.rows] = torch.tensor(draft, device=ids.device)
    return ids
