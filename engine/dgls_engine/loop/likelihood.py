"""Computes the likelihood of given tokens. Knows tensors, no text. Runs on the engine thread.

Shapes: R judged rows, D hidden, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dgls_engine.model.family import JUDGED_ROWS
from dgls_engine.model.passes import Head


def likelihoods(head: Head, hidden: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities [R] of the tokens `ids` [R] and of the likeliest tokens, from hidden states [R, D].

    Computes a few rows at a time: with a vocabulary of 262,144, the 460 rows that judge 17 lengths would take 1.2 GB.
    """
    parts = []
    for some, tokens in zip(torch.split(hidden, JUDGED_ROWS), torch.split(ids, JUDGED_ROWS), strict=True):
        likely = head.logits(some).log_softmax(-1)
        parts.append(torch.stack([likely.gather(1, tokens[:, None])[:, 0], likely.amax(-1)]))
    given, best = torch.cat(parts, dim=1)
    return given, best
