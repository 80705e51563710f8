"""The prompt's keys and values, in buffers that never move, so that a captured decoder pass can read them.

Full layers hold the whole prompt. Sliding layers hold what their window reaches, and `slack` tokens more: that far the
prompt can be cropped for nothing. Beyond it everything has to be encoded again, and not only the rows that are gone:
a row of one sliding layer was computed from the window before it in the layer below, that one from the window before
those, so all layers together reach some `layers * window` tokens back, further than any prompt is long. Holding every
row instead would take 205 KB a token (25 sliding layers of 8 heads x 256, bfloat16) beside the full layers' 20 KB: at
8k tokens 1.85 GB, where window, slack 256 and a chunk of 512 (367 MB) and the full layers (168 MB) take 0.54 GB.

Knows layers and rows, neither token ids nor when they change (`prompt.encoder` does). Belongs to the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.decoder import FULL, SLIDING, AttentionMasks, encoder_masks
from dgls_engine.model.diffusion_gemma.memory import CHUNK, SLACK

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class Rows:
    """Which tokens the layers of one kind hold, and where: token `base` in row 0, the last one before row `end`.

    A token sees the `reach` tokens before it. `bounds`, int32 [2] on the device, are the rows [first, end) that the
    next token sees, and so does a canvas behind the prompt.
    """

    def __init__(self, size: int, reach: int, device: torch.device) -> None:
        self.size, self.reach = size, reach
        self.base = self.tokens = 0
        self.bounds = torch.zeros(2, dtype=torch.int32, device=device)

    @property
    def first(self) -> int:
        return max(0, self.tokens - self.reach) - self.base

    @property
    def end(self) -> int:
        return self.tokens - self.base

    def reaches(self, length: int) -> bool:
        """Whether the rows that the token behind the first `length` sees are all here."""
        return length <= self.tokens and self.base <= max(0, length - self.reach)

    def hold(self, base: int, tokens: int) -> None:
        self.base, self.tokens = base, tokens
        self.bounds.copy_(torch.tensor([self.first, self.end], dtype=torch.int32))


class KeptLayer:
    """`keys` and `values` [1, heads, rows, dim] of one layer. Stale rows hold finite numbers, never what isn't one."""

    def __init__(self, rows: Rows, heads: int, dim: int, like: Tensor) -> None:
        self.rows = rows
        self.keys, self.values = (like.new_zeros(1, heads, rows.size, dim) for _ in range(2))

    @property
    def bounds(self) -> Tensor:
        return self.rows.bounds

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """transformers' encoder writes the states [1, heads, n, dim] of the next n tokens, and attends to those that
        come back. They count as held once `PromptCache.hold` says so."""
        first, end = self.rows.first, self.rows.end
        behind = end + keys.shape[-2]
        self.keys[..., end:behind, :], self.values[..., end:behind, :] = keys, values
        return self.keys[..., first:behind, :], self.values[..., first:behind, :]

    def move(self, first: int, end: int) -> None:
        """Rows first..end become rows 0.."""
        for states in (self.keys, self.values):
            states[..., : end - first, :] = states[..., first:end, :].clone()

    def copy(self, other: KeptLayer) -> None:
        end = other.rows.end
        self.keys[..., :end, :], self.values[..., :end, :] = other.keys[..., :end, :], other.values[..., :end, :]

    def view(self) -> Any:
        """The rows in bounds, as a layer that transformers' decoder reads."""
        first, end = self.rows.first, self.rows.end
        view: Any = DynamicLayer()  # type: ignore[no-untyped-call]
        view.lazy_initialization(self.keys, self.values)
        view.keys, view.values = self.keys[..., first:end, :], self.values[..., first:end, :]
        return view


def keeper(
    model: DiffusionGemmaForBlockDiffusion, chunk: int | None = None, slack: int = SLACK
) -> Callable[[int], PromptCache]:
    """Makes prompt caches of a given capacity. `slack` tokens at the prompt's end can change without
    all of it being encoded again: the lines beside the region, when it moves.

    A full-size model reads nearly all its experts for each chunk, so on a GPU chunks are long, but no longer than what
    is computed in the time of about one denoising step, since that is how soon a cancel should take effect.
    """
    tokens = chunk or (CHUNK if model.device.type == "cuda" else 256)
    return lambda capacity: PromptCache(model, capacity, slack=slack, chunk=tokens)


class PromptCache:
    """Room for `capacity` prompt tokens, of which at most `chunk` are written at a time."""

    @torch.inference_mode(False)  # buffers made under it could not be written outside of it
    def __init__(self, model: DiffusionGemmaForBlockDiffusion, capacity: int, *, slack: int, chunk: int) -> None:
        text, like = model.model.decoder.text_config, model.model.decoder.embed_tokens.weight
        reach = text.sliding_window - 1
        self.capacity, self.chunk = capacity, chunk
        self._model, self._slack, self._window = model, slack, text.sliding_window
        self._kinds = {
            FULL: Rows(capacity, capacity, like.device),
            SLIDING: Rows(min(capacity, reach + slack + chunk), reach, like.device),
        }
        self.layers: Sequence[KeptLayer] = [
            KeptLayer(self._kinds[kind], own.num_key_value_heads, own.head_dim, like)
            for kind, own in ((kind, text.per_layer_config[index]) for index, kind in enumerate(text.layer_types))
        ]
        self.states = Cache(layers=list[Any](self.layers))
        """What transformers' encoder is given."""

    @property
    def tokens(self) -> int:
        """How many are held, from the prompt's first one on."""
        return self._kinds[FULL].tokens

    def crop(self, length: int) -> int:
        """Keep the first `length` tokens. Returns how many are kept: all of them, or none where the sliding layers no
        longer hold what the next token would see."""
        sliding = self._kinds[SLIDING]
        kept = length if sliding.reaches(length) else 0
        for rows in self._kinds.values():
            rows.hold(rows.base if kept else 0, kept)
        return kept

    def make_room(self, count: int) -> AttentionMasks:
        """Let the next `count` tokens be written behind those held. Returns the encoder's masks for them."""
        assert count <= self.chunk
        assert self.tokens + count <= self.capacity
        sliding, tokens = self._kinds[SLIDING], self.tokens
        if sliding.end + count > sliding.size:
            self._move_to_front(max(0, tokens - sliding.reach - self._slack))
        masks = encoder_masks(tokens, tokens + count, self._window, sliding.bounds.device)
        band = masks[SLIDING]
        assert band is not None
        return masks | {SLIDING: band[..., max(0, tokens - sliding.reach) :]}

    def hold(self, count: int) -> None:
        """`count` more tokens are written, in all layers."""
        for rows in self._kinds.values():
            rows.hold(rows.base, rows.tokens + count)

    def extend(self, ids: Sequence[int]) -> None:
        """Encode the next tokens, at most `chunk`, and hold them."""
        start, masks = self.tokens, self.make_room(len(ids))
        row = torch.tensor([list(ids)], device=self._model.device)
        decoder.encode(self._model, row, self.states, masks, start)
        self.hold(len(ids))

    def seen(self) -> DynamicCache:
        """What a canvas behind the prompt sees: views, valid until the next tokens are written."""
        seen = DynamicCache()
        seen.layers.extend(layer.view() for layer in self.layers)
        return seen

    def grown(self, capacity: int) -> PromptCache:
        """The same prompt in a cache with more room, in buffers of its own."""
        other = PromptCache(self._model, capacity, slack=self._slack, chunk=self.chunk)
        for new, old in zip(other.layers, self.layers, strict=True):
            new.copy(old)
        for kind, rows in self._kinds.items():
            other._kinds[kind].hold(rows.base, rows.tokens)
        return other

    def _move_to_front(self, base: int) -> None:
        """Token `base` becomes the first that sliding layers hold."""
        sliding, tokens = self._kinds[SLIDING], self.tokens
        first, end = base - sliding.base, sliding.end
        self.crop(0)  # what memory that runs out between two layers leaves
        for layer in self.layers:
            if layer.rows is sliding:
                layer.move(first, end)
        sliding.hold(base, tokens)
        self._kinds[FULL].hold(0, tokens)
