"""What the embedded model's autoregressive peer is trained for: the next token, left to right, with fill-in-the-middle.

    a hole:          <|above|> prefix <|below|> suffix <|end|> the hole's text <|pad|>     (prefix-suffix-middle)
    a whole canvas:  <|above|> text

From the same examples, drawn alike, as the denoiser: the same code around the same holes, healed at the same seams.
So of the draws as many are fill-in-the-middle as have a hole: 30 % in a run's first half and 73 % in its second;
Bavarian et al. (arXiv 2207.14255) found 50 to 90 % to do best. As there, the loss is over all tokens. The special
tokens are the ones that the tokenizer has: `<|end|>` closes what is given, `<|pad|>` the fill. Shapes: B examples,
N the longest sequence of a batch, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import DiffusionGemmaForBlockDiffusion, DynamicCache

from engine.decoder import encode, encoder_masks
from engine.tokenizer import Tokenizer
from engine.training.examples import Example
from engine.training.tokenizer import ABOVE, BELOW, END


@dataclass(frozen=True, slots=True)
class Markers:
    """The ids of the special tokens that a sequence is made with."""

    above: int
    below: int
    middle: int
    end: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Markers:
        return cls(tokenizer.id_of(ABOVE), tokenizer.id_of(BELOW), tokenizer.id_of(END), tokenizer.pad_id)

    def given(self, prompt: Sequence[int], before: Sequence[int], after: Sequence[int]) -> list[int]:
        """All that stands before the hole's text: from a prompt in the `raw` format, and the canvas around the hole."""
        below, above = self._parts(prompt)
        return [self.above, *above, *before, self.below, *after, *below, self.middle]

    def plain(self, prompt: Sequence[int], text: Sequence[int]) -> list[int]:
        """Code in one piece: what stands above a canvas, and the canvas' text."""
        return [self.above, *self._parts(prompt)[1], *text]

    def _parts(self, prompt: Sequence[int]) -> tuple[list[int], list[int]]:
        """The ids (below, above) of a prompt in the `raw` format."""
        ids = list(prompt)
        border = ids.index(self.above)
        return ids[1:border], ids[border + 1 :]


@dataclass(frozen=True, slots=True)
class Sequences:
    """ids, valid, fill [B, N], padded on the right; `fill` marks what stands in a hole, its end token included."""

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
        """`held_out_exact` is the share of holes that greedy sampling fills right: every token the likeliest after
        the right ones before it. `held_out_next_loss` is over all tokens but those of holes."""
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
        """(what is given, what stands in the hole)."""
        before, after = example.canvas[: example.hole_start], example.canvas[example.hole_end :]
        hole = example.canvas[example.hole_start : example.hole_end]
        text = [id for id in hole if id != self.markers.end]
        if not before and not after:
            return self.markers.plain(example.prompt, text), []
        return self.markers.given(example.prompt, before, after), [*text, self.markers.end]


def _predicted(model: DiffusionGemmaForBlockDiffusion, batch: Sequences, targets: Tensor) -> Tensor:
    """Logits [targets, V] for the tokens after those at `targets` [B, N - 1]; padding stands behind all that sees."""
    size, window = batch.ids.shape[1] - 1, model.model.decoder.text_config.sliding_window
    masks = encoder_masks(0, size, window, batch.ids.device)
    hidden = encode(model, batch.ids[:, :-1], DynamicCache(), masks)
    return uncapped_logits(model, hidden[targets])


def uncapped_logits(model: DiffusionGemmaForBlockDiffusion, hidden: Tensor) -> Tensor:
    """float32 logits [..., V] of hidden states [..., D]. The likeliest token is the same without the soft cap, which
    would take a third of a training step here: every token is a target."""
    raw: Tensor = model.lm_head(hidden)
    return raw.float()
