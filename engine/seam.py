"""How much a filled canvas surprises the model: the score by which a hole's length is chosen.

A wrong length shows at the seam, in the pinned code after the hole, more than inside it. So one clean pass over the
filled canvas reads the negative log-likelihood of the hole's tokens and of their nearest pinned neighbours, and
their sum is the score. Knows no text and no policy; runs on the engine thread. Shapes: C canvas, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import decoder
from engine.canvas import Canvas

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
) -> list[float]:
    """Nats, one a canvas: the sum over the tokens of its hole number `hole` and those around it, once all its hole
    rows hold their draft. All canvases in one pass."""
    filled = [_filled(canvas, draft) for canvas, draft in zip(canvases, drafts, strict=True)]
    rows = [seam_rows(canvas, hole) for canvas in canvases]
    hidden = decoder.decode_all(model, filled, None, prompt)
    logits = decoder.logits(model, torch.cat([states[own] for states, own in zip(hidden, rows, strict=True)]))
    wanted = torch.cat([ids[own] for ids, own in zip(filled, rows, strict=True)])
    nats = -logits.log_softmax(-1).gather(1, wanted[:, None])[:, 0]
    ends = torch.tensor([len(own) for own in rows]).cumsum(0).tolist()
    return [float(nats[end - len(own) : end].sum()) for end, own in zip(ends, rows, strict=True)]


def seam_rows(canvas: Canvas, hole: int) -> Tensor:
    """The positions of a hole, and of the pinned ones among its neighbours."""
    span = canvas.holes[hole]
    near = torch.arange(
        max(0, span.start - BEFORE), min(len(canvas.ids), span.end + AFTER), device=canvas.pinned.device
    )
    inside = (near >= span.start) & (near < span.end)
    return near[inside | canvas.pinned[near]]


def _filled(canvas: Canvas, draft: Sequence[int]) -> Tensor:
    ids = canvas.ids.clone()
    ids[canvas.rows] = torch.tensor(draft, device=ids.device)
    return ids
