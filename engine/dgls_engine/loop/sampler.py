"""Chooses which of a step's tokens are kept; the other positions become noise again.

Entropy-bound unmasking (Ben-Hamu et al., arXiv 2505.24857) for uniform diffusion: noise is a random token, there is
no mask token. Knows hole rows only, in canvas order: no pins, no text, no model. Runs on the engine thread.
Shapes: H hole rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dgls_engine.errors import BrokenCheckpoint


class Sampler:
    """Draws tokens with `generator`, one stream a request, in the order in which transformers' sampler draws them."""

    def __init__(self, vocabulary: int, entropy_bound: float, generator: torch.Generator) -> None:
        self.entropy_bound = entropy_bound
        self._vocabulary = vocabulary
        self._generator = generator

    @property
    def seed(self) -> int:
        return self._generator.initial_seed()

    def noise(self, rows: int) -> Tensor:
        """Uniformly random ids [H] from the whole vocabulary, including special tokens, as in training."""
        return torch.randint(self._vocabulary, (rows,), generator=self._generator, device=self._generator.device)

    def advance(self, probabilities: Tensor, entropies: Tensor) -> Tensor:
        """The next ids [H] of the hole rows, from their `probabilities` [H, V] and `entropies` [H].

        Accepted rows take a token drawn from `probabilities`; the others become noise again.
        """
        drawn = torch.multinomial(probabilities, 1, generator=self._generator)[:, 0]
        return torch.where(accepted(entropies, self.entropy_bound), drawn, self.noise(len(drawn)))


def no_numbers() -> BrokenCheckpoint:
    """The error for logits that are NaN."""
    return BrokenCheckpoint(
        "the model computes values that are no numbers (NaN), so its weights are damaged or its device fails; restart "
        "dgls, and if that does not help, fetch the model again"
    )


def accepted(entropies: Tensor, bound: float) -> Tensor:
    """The k rows [H] of lowest entropy, with the largest k such that the sum of their entropies without the largest one
    is at most `bound`.

    That sum bounds the rows' mutual information (arXiv 2505.24857), so their tokens can be drawn independently.
    """
    ascending, order = torch.sort(entropies)
    return torch.zeros_like(order, dtype=torch.bool).scatter(0, order, ascending.cumsum(0) - ascending <= bound)


def entropy(probabilities: Tensor) -> Tensor:
    """Entropies [H] in nats of `probabilities` [H, V]."""
    nats: Tensor = torch.special.entr(probabilities).sum(-1)
    return nats
