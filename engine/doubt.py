"""How much the model doubts each token of a text that stands in a canvas: what to change of a draft first.

A token that the model sees it mostly copies, so each is judged where it is noise and its neighbours stand as they are:
one pass over `TURNS` canvases, every one of them with another part of the tokens noised. A token's doubt is the
margin, in nats, by which the model would rather have another one; among those it would choose itself, how unlikely
they are. On held-out lines with one wrong token that one is among the most doubted third in 9 cases of 10
(docs/log.md). Knows no text; runs on the engine thread. Shapes: C canvas, D hidden, R judged rows, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import decoder
from engine.canvas import Canvas
from engine.profile import PinnedSignal

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion

TURNS = 8
"""Canvases of the pass: each token's next neighbours on either side are clean when it is judged."""

_TIE = 1e-3
"""What a nat of unlikelihood counts beside a nat of margin."""


@torch.inference_mode()
def doubts(
    model: DiffusionGemmaForBlockDiffusion,
    prompt: decoder.Prompt,
    canvas: Canvas,
    rows: Tensor,
    noise: Tensor,
    pinned_signal: PinnedSignal = "after-first",
) -> list[float]:
    """Doubt of the token at each of the positions `rows` [R], ascending, in a canvas with its drafts in place.

    `noise` [C] are the ids that stand where a token is judged, and in hole rows that are not to be judged.
    """
    unseen = canvas.rows[~torch.isin(canvas.rows, rows)]
    ids = canvas.ids.index_copy(0, unseen, noise[unseen])
    parts = [part for turn in range(TURNS) if len(part := rows[turn::TURNS])]
    shown = [ids.index_copy(0, part, noise[part]) for part in parts]
    clean = decoder.embed(model, ids)
    signals = [clean.index_fill(0, torch.cat([unseen, part]), 0.0) for part in parts]
    hidden = decoder.decode_all(model, shown, signals if pinned_signal == "always" else None, prompt)
    logits = decoder.logits(model, torch.cat([states[part] for states, part in zip(hidden, parts, strict=True)]))
    likely = logits.log_softmax(-1)
    own = likely.gather(1, ids[torch.cat(parts)][:, None])[:, 0]
    found = torch.zeros(len(ids), device=ids.device).index_copy(0, torch.cat(parts), likely.amax(-1) - own - _TIE * own)
    nats: list[float] = found[rows].tolist()
    return nats
