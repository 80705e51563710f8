"""The training objective of the embedded model: denoising with self-conditioning, and next-token prediction.

Uniform diffusion as in DiffusionGemma: a noised position holds a random token, and the model predicts the clean token
at every free position, noised or not. Pinned positions are always clean and have no loss. The encoder's next-token loss
trains the weights that encoder and decoder share; it uses every prompt token, which matters if tokens are few. Shapes:
B examples, P prompt, C canvas, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import DiffusionGemmaForBlockDiffusion, DynamicCache

from dgls_engine.model.diffusion_gemma.decoder import (
    FULL,
    SLIDING,
    AttentionMasks,
    decode,
    embed,
    encode,
    logits,
    soft_embeddings,
)
from dgls_training.examples import Example, Sizes


@dataclass(frozen=True, slots=True)
class Canvases:
    """prompt [B, P] padded on the left, canvas [B, C] padded on the right; the masks have the same shapes.

    `free` marks the positions to denoise.
    """

    prompt: Tensor
    prompt_valid: Tensor
    canvas: Tensor
    canvas_valid: Tensor
    free: Tensor

    @property
    def tokens(self) -> int:
        return int(self.prompt_valid.sum() + self.canvas_valid.sum())

    def to(self, device: torch.device) -> Self:
        return type(self)(*(getattr(self, name).to(device) for name in Canvases.__slots__))


@dataclass(frozen=True, slots=True)
class Denoising:
    """The batch's sizes, and the shares and weights of the loss. `pad` is the id of PAD.

    Holes: the share `pure_noise_share` is all noise; the share `filling_share` of these is clean up to a random place
    in the text. Whole canvases: the share `unpinned_share` has no pins, and at most the share `most_unpinned_noise` of
    its tokens is noised. The others get short holes with pinned code in between: as many noised tokens, but each near
    known code. Tokens without noise have the weight `kept_weight`, because the model learns little from copying them.
    `self_conditioning_temperature` is about the sampler's temperature at run time.
    """

    sizes: Sizes
    pad: int
    pure_noise_share: float = 0.4
    filling_share: float = 0.5
    unpinned_share: float = 0.2
    most_unpinned_noise: float = 0.7
    pad_weight: float = 0.2
    kept_weight: float = 0.2
    next_token_weight: float = 0.5
    self_conditioning_share: float = 0.25
    self_conditioning_temperature: float = 0.6

    def collate(self, examples: Sequence[Example]) -> Canvases:
        shape_p, shape_c = (len(examples), self.sizes.prompt), (len(examples), self.sizes.canvas)
        prompt, canvas = torch.full(shape_p, self.pad), torch.full(shape_c, self.pad)
        prompt_valid, canvas_valid, free = (torch.zeros(s, dtype=torch.bool) for s in (shape_p, shape_c, shape_c))
        for row, example in enumerate(examples):
            prompt[row, self.sizes.prompt - len(example.prompt) :] = torch.tensor(example.prompt)
            prompt_valid[row, self.sizes.prompt - len(example.prompt) :] = True
            canvas[row, : len(example.canvas)] = torch.tensor(example.canvas)
            canvas_valid[row, : len(example.canvas)] = True
            free[row, example.hole_start : example.hole_end] = True
        return Canvases(prompt, prompt_valid, canvas, canvas_valid, free)

    def loss(self, model: DiffusionGemmaForBlockDiffusion, batch: Canvases, generator: torch.Generator) -> Tensor:
        """The scalar loss of one batch, in nats for each token."""
        cache, vocabulary = DynamicCache(), model.model.decoder.vocab_size
        next_loss = next_token_loss(model, batch, cache)

        batch = self._with_pins(batch, generator)
        noised = self._noise(batch, vocabulary, generator)
        soft = signal_of_pins(model, batch, noised)
        if torch.rand((), generator=generator, device=generator.device) < self.self_conditioning_share:
            with torch.no_grad():
                first = predict(model, batch, noised, soft, cache)
                soft = soft.clone()
                soft[batch.free] = soft_embeddings(model, first / self.self_conditioning_temperature).to(soft.dtype)
        predicted = predict(model, batch, noised, soft, cache)
        target = batch.canvas[batch.free]
        weight = torch.where(noised[batch.free] == target, self.kept_weight, 1.0)
        weight = torch.where(target.eq(self.pad), self.pad_weight, weight)
        losses = cross_entropy(predicted, target, reduction="none")
        return (losses * weight).sum() / weight.sum() + self.next_token_weight * next_loss

    @torch.no_grad()
    def figures(self, model: DiffusionGemmaForBlockDiffusion, batch: Canvases) -> dict[str, float]:
        """Figures of one decoder pass over pure noise, which correlate with real fills, and the encoder's loss."""
        generator = torch.Generator(batch.canvas.device).manual_seed(0)
        noise = random_ids(batch, model.model.decoder.vocab_size, generator)
        canvas = torch.where(batch.free, noise, batch.canvas)
        cache = DynamicCache()
        next_loss = next_token_loss(model, batch, cache)
        predicted = predict(model, batch, canvas, signal_of_pins(model, batch, canvas), cache)
        target = batch.canvas[batch.free]
        real = target != self.pad
        guess = batch.canvas.masked_fill(batch.free, self.pad)
        guess[batch.free] = predicted.argmax(dim=-1)
        return {
            "held_out_loss": cross_entropy(predicted[real], target[real]).item(),
            "held_out_exact_one_pass": (guess == batch.canvas).all(dim=1).float().mean().item(),
            "held_out_next_loss": next_loss.item(),
        }

    def _with_pins(self, batch: Canvases, generator: torch.Generator) -> Canvases:
        """Turn whole canvases into short holes with pinned code in between. Holes have four tokens on average and cover
        15 to 50 % of a canvas."""

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=generator.device)

        rows, columns = batch.canvas.shape
        whole = (batch.free == batch.canvas_valid).all(dim=1) & (uniform(rows) >= self.unpinned_share)
        share = 0.15 + 0.35 * uniform(rows)
        begins, ends = uniform(rows, columns) < (share / (1 - share) / 4)[:, None], uniform(rows, columns) < 1 / 4
        holes, inside = torch.zeros_like(batch.free), uniform(rows) < share
        for column in range(columns):
            inside = torch.where(inside, ~ends[:, column], begins[:, column])
            holes[:, column] = inside
        return replace(batch, free=torch.where(whole[:, None], batch.free & holes, batch.free))

    def _noise(self, batch: Canvases, vocabulary: int, generator: torch.Generator) -> Tensor:
        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=generator.device)

        rows = len(batch.canvas)
        share = torch.where(uniform(rows, 1) < self.pure_noise_share, 1.0, uniform(rows, 1))
        unpinned = (batch.free == batch.canvas_valid).all(dim=1, keepdim=True)
        share = torch.where(unpinned, self.most_unpinned_noise * uniform(rows, 1), share)
        place = uniform(*batch.canvas.shape)
        # Some holes of pure noise are clean up to a random place, as during a fill that grows from the seam.
        text = (batch.free & batch.canvas.ne(self.pad)).sum(dim=1, keepdim=True)
        inside = (batch.free.cumsum(dim=1) - 1) / text.clamp(min=1)
        filling = (share == 1.0) & (uniform(rows, 1) < self.filling_share)
        place = torch.where(filling, 1.0 + uniform(rows, 1) - inside, place)
        noised = batch.free & (place <= share)
        return torch.where(noised, random_ids(batch, vocabulary, generator), batch.canvas)


def next_token_loss(model: DiffusionGemmaForBlockDiffusion, batch: Canvases, cache: DynamicCache) -> Tensor:
    """The encoder's next-token loss over the prompt. Writes the prompt's keys and values to `cache`."""
    states = encode(model, batch.prompt, cache, _encoder_masks(batch))
    following = batch.prompt_valid[:, :-1] & batch.prompt_valid[:, 1:]
    predicted = model.lm_head(states[:, :-1][following])
    return cross_entropy(predicted.float(), batch.prompt[:, 1:][following])


def signal_of_pins(model: DiffusionGemmaForBlockDiffusion, batch: Canvases, canvas: Tensor) -> Tensor:
    """The self-conditioning signal [B, C, D] of the first pass: a pinned row's own embedding, which distinguishes it
    from noise; zero for free rows, which have no prediction yet."""
    return embed(model, canvas).masked_fill(batch.free[..., None], 0.0)


def random_ids(batch: Canvases, vocabulary: int, generator: torch.Generator) -> Tensor:
    """Random ids [B, C] on the generator's device, from the whole vocabulary with special tokens, as at run time."""
    return torch.randint(0, vocabulary, batch.canvas.shape, generator=generator, device=generator.device)


def predict(
    model: DiffusionGemmaForBlockDiffusion, batch: Canvases, canvas: Tensor, soft: Tensor, cache: DynamicCache
) -> Tensor:
    """Logits [free positions, V] of one decoder pass over `canvas` [B, C] behind the encoded prompt."""
    hidden = decode(model, canvas, soft, cache, _decoder_masks(batch), batch.prompt.shape[1])
    return logits(model, hidden[batch.free])


def _encoder_masks(batch: Canvases) -> AttentionMasks:
    size = batch.prompt.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=batch.prompt.device).tril()
    # A padded row sees itself: the softmax of a row that sees nothing is not defined.
    allowed = (causal & batch.prompt_valid[:, None, :]) | torch.eye(size, dtype=torch.bool, device=batch.prompt.device)
    return {FULL: allowed[:, None], SLIDING: allowed[:, None]}


def _decoder_masks(batch: Canvases) -> AttentionMasks:
    keys = torch.cat([batch.prompt_valid, batch.canvas_valid], dim=1)
    allowed = keys[:, None, None, :].expand(-1, 1, batch.canvas.shape[1], -1)
    return {FULL: allowed, SLIDING: allowed}
