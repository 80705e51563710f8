"""The interface of a training objective: it makes batches of examples, and computes the loss and the figures to log.

The trainer knows only this interface, so one loop trains the embedded model (`denoising`) and its autoregressive peer
(`next_token`) on the same kind of examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor
from transformers import DiffusionGemmaForBlockDiffusion

from dgls_training.examples import Example


class Batch(Protocol):
    """Some examples as tensors."""

    @property
    def tokens(self) -> int:
        """The number of tokens that pass through the model, without padding."""
        ...

    def to(self, device: torch.device) -> Self: ...


B = TypeVar("B", bound=Batch)


class Objective(Protocol[B]):
    """A training objective. Losses are in nats for each token."""

    def collate(self, examples: Sequence[Example]) -> B: ...

    def loss(self, model: DiffusionGemmaForBlockDiffusion, batch: B, generator: torch.Generator) -> Tensor:
        """The scalar to minimise. `generator`, on the model's device, is its only source of randomness."""
        ...

    def figures(self, model: DiffusionGemmaForBlockDiffusion, batch: B) -> dict[str, float]:
        """Cheap figures on held-out examples: `held_out_loss` over the holes' text, and others."""
        ...
