"""How much the model doubts each token of a text that stands in a canvas: what to change of a draft first.

A token that the model sees it mostly copies, so each is judged where it is noise and its neighbours stand as they are:
one pass over `TURNS` canvases, every one of them with another part of the tokens noised. A token's doubt is the
margin, in nats, by which the model would rather have another one; among those it would choose itself, how unlikely
they are. On held-out lines with one wrong token that one is among the most doubted third in 9 cases of 10
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
    """Doubt of the token at each of the positions `rows`, ascending, in a canvas with its drafts in place.

    `noise` [C] are the ids that stand where a token is judged, and in hole rows that are not to be judged.
    """
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
    nats: list[float] = (best - own - TIE * own).tolist()
    found = dict(zip(chain.from_iterable(parts), nats, strict=True))
    return [found[row] for row in rows]
