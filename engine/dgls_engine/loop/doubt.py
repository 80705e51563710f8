"""Computes how much the model doubts each token of a draft, so that the most doubted tokens are changed first.

The model mostly copies visible tokens, so noise hides each token while it is judged, and its neighbours stay visible:
one pass over `TURNS` canvases, each with another part of the tokens hidden. A token's doubt is the margin, in nats, by
which the model prefers another token. Between tokens that the model itself prefers, the less likely one is doubted
more. In held-out lines with one wrong token, this token is among the most doubted third in 9 of 10 cases
(docs/experiments/drafts.md). Knows no text; runs on the engine thread. Shapes: C canvas, D hidden, R judged rows, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from dgls_engine.loop.judged_rows import TIE, doubted_together
from dgls_engine.loop.likelihood import likelihoods
from dgls_engine.model.batches import places, stacked
from dgls_engine.model.passes import Passes
from dgls_engine.text.canvas import Canvas


@torch.inference_mode()
def doubts(passes: Passes[Any], canvas: Canvas, rows: Sequence[int], noise: Tensor) -> list[float]:
    """The doubt of the token at each of the ascending positions `rows`, in a canvas with its drafts in place.

    The ids `noise` [C] hide the tokens that are judged, and fill hole rows that are not judged.
    """
    own, best = hidden_likelihoods(passes, canvas, rows, noise)
    nats: list[float] = (best - own - TIE * own).tolist()
    return nats


@torch.inference_mode()
def hidden_likelihoods(
    passes: Passes[Any], canvas: Canvas, rows: Sequence[int], noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probabilities [R] of the tokens at `rows`, and of the likeliest ones, each hidden while it is judged."""
    device = noise.device
    unseen = sorted(set(canvas.rows).difference(rows))
    parts = doubted_together(rows)
    clean = stacked([canvas.ids] * len(parts), device)
    open_rows = places([unseen] * len(parts), device)
    clean[open_rows] = noise[open_rows[1]]
    judged = places(parts, device)
    shown = clean.index_put(judged, noise[judged[1]])
    noised = tuple(torch.cat(pair) for pair in zip(open_rows, judged, strict=True))
    carry = passes.judging(clean, (noised[0], noised[1]))
    hidden = passes.run(shown, carry, [len(canvas.ids)] * len(parts), judged)
    own, best = likelihoods(passes.head, hidden, clean[judged])
    order = list(chain.from_iterable(parts))
    ascending = torch.tensor(sorted(range(len(order)), key=order.__getitem__), device=own.device)
    return own[ascending], best[ascending]
