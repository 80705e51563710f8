"""What the embedded model is trained for: denoising, with self-conditioning, and next-token prediction beside it.

Uniform diffusion as in DiffusionGemma: a noised position holds a random token, and the model predicts the clean
one at every free position, noised or not. Pinned positions are always clean and carry no loss. The encoder's
next-token loss shares all weights with the decoder; it makes use of every prompt token, which counts when
tokens are few.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import DiffusionGemmaForBlockDiffusion, DynamicCache

from engine.decoder import FULL, SLIDING, AttentionMasks, decode, embed, encode, logits, soft_embeddings
from engine.training.examples import Batch


@dataclass(frozen=True, slots=True)
class Objective:
    """Shares and weights of the loss.

    Of the holes, `pure_noise_share` are all noise, and of those `filling_share` clean up to a random place in their
    text. A canvas without pins has at most the share `most_unpinned_noise` of its tokens noised, as there is nothing
    else to go by. Tokens that were not noised weigh `kept_weight`: they are easily copied, and would teach little
    else. `self_conditioning_temperature` is about the sampler's at run time.
    """

    pure_noise_share: float = 0.4
    filling_share: float = 0.5
    most_unpinned_noise: float = 0.7
    pad_weight: float = 0.2
    kept_weight: float = 0.2
    next_token_weight: float = 0.5
    self_conditioning_share: float = 0.5
    self_conditioning_temperature: float = 0.6

    def loss(self, model: DiffusionGemmaForBlockDiffusion, batch: Batch, generator: torch.Generator) -> Tensor:
        """The scalar loss of one batch, in nats a token."""
        cache = DynamicCache()
        vocabulary = model.model.decoder.vocab_size
        masks = _encoder_masks(batch)
        states = encode(model, batch.prompt, cache, masks)
        following = batch.prompt_valid[:, :-1] & batch.prompt_valid[:, 1:]
        next_logits = model.lm_head(states[:, :-1][following])
        next_loss = cross_entropy(next_logits.float(), batch.prompt[:, 1:][following])

        noised = self._noise(batch, vocabulary, model.model.decoder.padding_idx, generator)
        soft = None
        if torch.rand((), generator=generator, device=generator.device) < self.self_conditioning_share:
            with torch.no_grad():
                first = predict(model, batch, noised, None, cache)
                soft = embed(model, noised)
                soft[batch.free] = soft_embeddings(model, first / self.self_conditioning_temperature).to(soft.dtype)
        predicted = predict(model, batch, noised, soft, cache)
        target = batch.canvas[batch.free]
        weight = torch.where(noised[batch.free] == target, self.kept_weight, 1.0)
        weight = torch.where(target.eq(model.model.decoder.padding_idx), self.pad_weight, weight)
        losses = cross_entropy(predicted, target, reduction="none")
        return (losses * weight).sum() / weight.sum() + self.next_token_weight * next_loss

    def _noise(self, batch: Batch, vocabulary: int, pad: int, generator: torch.Generator) -> Tensor:
        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=generator.device)

        rows = len(batch.canvas)
        share = torch.where(uniform(rows, 1) < self.pure_noise_share, 1.0, uniform(rows, 1))
        unpinned = (batch.free == batch.canvas_valid).all(dim=1, keepdim=True)
        share = torch.where(unpinned, self.most_unpinned_noise * uniform(rows, 1), share)
        place = uniform(*batch.canvas.shape)
        # Of the holes of pure noise, some are clean up to a random place, as they are while they fill from the seam.
        text = (batch.free & batch.canvas.ne(pad)).sum(dim=1, keepdim=True)
        inside = (batch.free.cumsum(dim=1) - 1) / text.clamp(min=1)
        filling = (share == 1.0) & (uniform(rows, 1) < self.filling_share)
        place = torch.where(filling, 1.0 + uniform(rows, 1) - inside, place)
        hit = batch.free & (place <= share)
        return torch.where(hit, random_ids(batch, vocabulary, generator), batch.canvas)


def random_ids(batch: Batch, vocabulary: int, generator: torch.Generator) -> Tensor:
    """Noise [B, C], on the generator's device: the whole vocabulary, special tokens too, as at run time."""
    return torch.randint(0, vocabulary, batch.canvas.shape, generator=generator, device=generator.device)


def predict(
    model: DiffusionGemmaForBlockDiffusion, batch: Batch, canvas: Tensor, soft: Tensor | None, cache: DynamicCache
) -> Tensor:
    """Logits [free positions, V] of one decoder pass over `canvas` [B, C] behind the encoded prompt."""
    hidden = decode(model, canvas, soft, cache, _decoder_masks(batch), batch.prompt.shape[1])
    return logits(model, hidden[batch.free])


def encode_prompt(model: DiffusionGemmaForBlockDiffusion, batch: Batch) -> DynamicCache:
    cache = DynamicCache()
    encode(model, batch.prompt, cache, _encoder_masks(batch))
    return cache


def _encoder_masks(batch: Batch) -> AttentionMasks:
    size = batch.prompt.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=batch.prompt.device).tril()
    # A padded row sees itself: a row that sees nothing has no softmax.
    allowed = (causal & batch.prompt_valid[:, None, :]) | torch.eye(size, dtype=torch.bool, device=batch.prompt.device)
    return {FULL: allowed[:, None], SLIDING: allowed[:, None]}


def _decoder_masks(batch: Batch) -> AttentionMasks:
    keys = torch.cat([batch.prompt_valid, batch.canvas_valid], dim=1)
    allowed = keys[:, None, None, :].expand(-1, 1, batch.canvas.shape[1], -1)
    return {FULL: allowed, SLIDING: allowed}
