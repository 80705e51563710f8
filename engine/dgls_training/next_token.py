"""The training objective of the autoregressive peer: the next token from left to right, with fill-in-the-middle.

    a hole:          <|above|> prefix <|below|> suffix <|end|> the hole's text <|pad|>     (prefix-suffix-middle)
    a whole canvas:  <|above|> text

The examples are those of the denoiser: the same code around the same holes, healed at the same seams. Each example with
a hole is fill-in-the-middle: 30 % of the examples in the first half of a run and 73 % in the second. Bavarian et al.
(arXiv 2207.14255) found 50 to 90 % to be best; as in their work, the loss is over all tokens. The special tokens are
those of the tokenizer: `<|end|>` ends the given code, `<|pad|>` the fill. Shapes: B examples, N the longest sequence of
a batch, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import DiffusionGemmaForBlockDiffusion, DynamicCache

from dgls_engine.model.diffusion_gemma.causal import uncapped_logits
from dgls_engine.model.diffusion_gemma.decoder import encode, encoder_masks
from dgls_engine.peer import Markers
from dgls_training.examples import Example


@dataclass(frozen=True, slots=True)
class Sequences:
    """ids, valid, fill [B, N], padded on the right. `fill` marks the tokens of holes, including the end token."""

    ids: Tensor
    valid: Tensor
    fill: Tensor

    @property
    def tokens(self) -> int:
        return int(self.valid.sum())

    def to(self, device: torch.device) -> Self:
        return type(self)(self.ids.to(device), self.valid.to(device), self.fill.to(device))


@dataclass(frozen=True, slots=True)
class NextToken:
    markers: Markers

    def collate(self, examples: Sequence[Example]) -> Sequences:
        rows = [self._row(example) for example in examples]
        shape = (len(rows), max(len(given) + len(fill) for given, fill in rows))
        ids = torch.full(shape, self.markers.end)
        valid, filled = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        for row, (given, fill) in enumerate(rows):
            end = len(given) + len(fill)
            ids[row, :end] = torch.tensor(given + fill)
            valid[row, :end] = True
            filled[row, len(given) : end] = True
        return Sequences(ids, valid, filled)

    def loss(self, model: DiffusionGemmaForBlockDiffusion, batch: Sequences, generator: torch.Generator) -> Tensor:
        targets = batch.valid[:, 1:]
        return cross_entropy(_predicted(model, batch, targets), batch.ids[:, 1:][targets])

    @torch.no_grad()
    def figures(self, model: DiffusionGemmaForBlockDiffusion, batch: Sequences) -> dict[str, float]:
        """`held_out_exact` is the share of holes that greedy sampling fills exactly: each token is the likeliest one
        after the right tokens before it. `held_out_next_loss` is over all tokens outside holes."""
        targets, following = batch.valid[:, 1:], batch.ids[:, 1:]
        predicted = _predicted(model, batch, targets)
        losses = torch.zeros(following.shape, device=following.device)
        losses[targets] = cross_entropy(predicted, following[targets], reduction="none")
        right = torch.ones_like(targets)
        right[targets] = predicted.argmax(dim=-1) == following[targets]
        inside = batch.fill[:, 1:]
        text = inside & following.ne(self.markers.end)
        return {
            "held_out_loss": losses[text].mean().item(),
            "held_out_exact": (right | ~inside).all(dim=1).float().mean().item(),
            "held_out_next_loss": losses[targets & ~inside].mean().item(),
        }

    def _row(self, example: Example) -> tuple[list[int], list[int]]:
        """The ids (given code, hole)."""
        before, after = example.canvas[: example.hole_start], example.canvas[example.hole_end :]
        hole = example.canvas[example.hole_start : example.hole_end]
        text = [id for id in hole if id != self.markers.end]
        if not before and not after:
            return self.markers.plain(example.prompt, text), []
        return self.markers.given(example.prompt, before, after), [*text, self.markers.end]


def _predicted(model: DiffusionGemmaForBlockDiffusion, batch: Sequences, targets: Tensor) -> Tensor:
    """Logits [targets, V] of the tokens after those at `targets` [B, N - 1]. Padding needs no mask: it is on the right,
    and attention is causal."""
    size, window = batch.ids.shape[1] - 1, model.model.decoder.text_config.sliding_window
    masks = encoder_masks(0, size, window, batch.ids.device)
    hidden = encode(model, batch.ids[:, :-1], DynamicCache(), masks)
    return uncapped_logits(model, hidden[targets])
