"""What a training run is for, as the trainer sees it: how examples become a batch, its loss, and what to watch.

The trainer knows nothing beyond this, so the embedded model (`denoising`) and its autoregressive peer
(`next_token`) are trained by one loop, on examples drawn alike.
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
        """Tokens that pass through the model, padding left out."""
        ...

    def to(self, device: torch.device) -> Self: ...


B = TypeVar("B", bound=Batch)


class Objective(Protocol[B]):
    """What to train for. Losses are in nats a token."""

    def collate(self, examples: Sequence[Example]) -> B: ...

    def loss(self, model: DiffusionGemmaForBlockDiffusion, batch: B, generator: torch.Generator) -> Tensor:
        """The scalar to bring down; what is random in it comes from `generator`, on the model's device."""
        ...

    def figures(self, model: DiffusionGemmaForBlockDiffusion, batch: B) -> dict[str, float]:
        """Cheap figures of held-out examples: `held_out_loss` over the holes' text, and others."""
        ...
