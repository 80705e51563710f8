"""The prompt's keys and values, in buffers with fixed addresses, so that a captured decoder pass can read them.

Full layers hold the whole prompt. Sliding layers hold their window and `spare_rows` more tokens, so the prompt can be
cropped by that many tokens without computation. A larger crop needs the whole prompt to be encoded again, not only the
missing rows: a row of a sliding layer depends on a window of rows in the layer below, and so on, so the layers together
reach `layers * window` tokens back, further than any prompt is long. To hold every row would take 205 KB for each token
(25 sliding layers of 8 heads x 256, bfloat16) in addition to the full layers' 20 KB: 1.85 GB at 8k tokens. Window, 256
spare rows and a chunk of 512 (367 MB) and the full layers (168 MB) take 0.54 GB.

Knows layers and rows; neither token ids nor when they change (`prompt.encoder` knows). Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.decoder import FULL, SLIDING, AttentionMasks, encoder_masks
from dgls_engine.model.diffusion_gemma.memory import CHUNK, SPARE_ROWS

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class Rows:
    """The tokens in the layers of one kind: token `base` is in row 0, the prompt's last token in row `end - 1`.

    A token sees the `reach` tokens before it. `bounds`, int32 [2] on the device, are the rows [first, end) that the
    next token sees; a canvas behind the prompt sees the same rows.
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
        """Whether the layers hold all rows that the token behind the first `length` tokens sees."""
        return length <= self.tokens and self.base <= max(0, length - self.reach)

    def hold(self, base: int, tokens: int) -> None:
        self.base, self.tokens = base, tokens
        self.bounds.copy_(torch.tensor([self.first, self.end], dtype=torch.int32))


class KeptLayer:
    """`keys` and `values` [1, heads, rows, dim] of one layer. Unused rows hold finite numbers, never NaN."""

    def __init__(self, rows: Rows, heads: int, dim: int, like: Tensor) -> None:
        self.rows = rows
        self.keys, self.values = (like.new_zeros(1, heads, rows.size, dim) for _ in range(2))

    @property
    def bounds(self) -> Tensor:
        return self.rows.bounds

    def update(self, keys: Tensor, values: Tensor, *rest: object, **named: object) -> tuple[Tensor, Tensor]:
        """transformers' encoder passes the states [1, heads, n, dim] of the next n tokens, and attends to the returned
        ones. Newer versions pass further arguments. The tokens count as held after `PromptCache.hold`."""
        first, end = self.rows.first, self.rows.end
        behind = end + keys.shape[-2]
        self.keys[..., end:behind, :], self.values[..., end:behind, :] = keys, values
        return self.keys[..., first:behind, :], self.values[..., first:behind, :]

    def move(self, first: int, end: int) -> None:
        """Move rows first..end to the start of the buffers."""
        for states in (self.keys, self.values):
            states[..., : end - first, :] = states[..., first:end, :].clone()

    def copy(self, other: KeptLayer) -> None:
        end = other.rows.end
        self.keys[..., :end, :], self.values[..., :end, :] = other.keys[..., :end, :], other.values[..., :end, :]

    def view(self) -> Any:
        """The rows within `bounds`, as a layer for transformers' decoder."""
        first, end = self.rows.first, self.rows.end
        view: Any = DynamicLayer()  # type: ignore[no-untyped-call]
        view.lazy_initialization(self.keys, self.values)
        view.keys, view.values = self.keys[..., first:end, :], self.values[..., first:end, :]
        return view


def prompt_factory(
    model: DiffusionGemmaForBlockDiffusion, chunk: int | None = None, spare_rows: int = SPARE_ROWS
) -> Callable[[int], PromptCache]:
    """A function that makes prompt caches of a given capacity. The last `spare_rows` tokens of a prompt can change
    without a new prefill of the whole prompt: these are the lines next to the region, which change when it moves.

    A full-size model reads nearly all its experts for each chunk, so chunks are long on a GPU. But a chunk takes about
    as long as one denoising step at most, so that a cancel takes effect soon.
    """
    tokens = chunk or (CHUNK if model.device.type == "cuda" else 256)
    return lambda capacity: PromptCache(model, capacity, spare_rows=spare_rows, chunk=tokens)


class PromptCache:
    """Room for `capacity` prompt tokens; at most `chunk` of them are written at a time."""

    @torch.inference_mode(False)  # a buffer made in inference mode cannot be written outside of it
    def __init__(self, model: DiffusionGemmaForBlockDiffusion, capacity: int, *, spare_rows: int, chunk: int) -> None:
        text, like = model.model.decoder.text_config, model.model.decoder.embed_tokens.weight
        reach = text.sliding_window - 1
        self.capacity, self.chunk = capacity, chunk
        self._model, self._spare_rows, self._window = model, spare_rows, text.sliding_window
        self._kinds = {
            FULL: Rows(capacity, capacity, like.device),
            SLIDING: Rows(min(capacity, reach + spare_rows + chunk), reach, like.device),
        }
        self.layers: Sequence[KeptLayer] = [
            KeptLayer(self._kinds[kind], layer.num_key_value_heads, layer.head_dim, like)
            for kind, layer in ((kind, text.per_layer_config[index]) for index, kind in enumerate(text.layer_types))
        ]
        self.states = Cache(layers=list[Any](self.layers))
        """The layers as the cache of transformers' encoder."""

    @property
    def tokens(self) -> int:
        """The number of tokens held, from the prompt's first token on."""
        return self._kinds[FULL].tokens

    def crop(self, length: int) -> int:
        """Keep the first `length` tokens. Returns the number of tokens kept: `length`, or 0 if the sliding layers do
        not hold all rows that the next token sees."""
        sliding = self._kinds[SLIDING]
        kept = length if sliding.reaches(length) else 0
        for rows in self._kinds.values():
            rows.hold(rows.base if kept else 0, kept)
        return kept

    def make_room(self, count: int) -> AttentionMasks:
        """Make room for the next `count` tokens. Returns the encoder's masks for them."""
        assert count <= self.chunk
        assert self.tokens + count <= self.capacity
        sliding, tokens = self._kinds[SLIDING], self.tokens
        if sliding.end + count > sliding.size:
            self._move_to_front(max(0, tokens - sliding.reach - self._spare_rows))
        masks = encoder_masks(tokens, tokens + count, self._window, sliding.bounds.device)
        band = masks[SLIDING]
        assert band is not None
        return masks | {SLIDING: band[..., max(0, tokens - sliding.reach) :]}

    def hold(self, count: int) -> None:
        """Count the next `count` tokens as held; all layers have written them."""
        for rows in self._kinds.values():
            rows.hold(rows.base, rows.tokens + count)

    def extend(self, ids: Sequence[int]) -> None:
        """Encode the next tokens of the prompt, at most `chunk`."""
        start, masks = self.tokens, self.make_room(len(ids))
        row = torch.tensor([list(ids)], device=self._model.device)
        decoder.encode(self._model, row, self.states, masks, start)
        self.hold(len(ids))

    def seen(self) -> DynamicCache:
        """The rows that a canvas behind the prompt sees: views, valid until the next tokens are written."""
        seen = DynamicCache()
        seen.layers.extend(layer.view() for layer in self.layers)
        return seen

    def grown(self, capacity: int) -> PromptCache:
        """A copy of this prompt with room for `capacity` tokens, in new buffers."""
        other = PromptCache(self._model, capacity, spare_rows=self._spare_rows, chunk=self.chunk)
        for new, old in zip(other.layers, self.layers, strict=True):
            new.copy(old)
        for kind, rows in self._kinds.items():
            other._kinds[kind].hold(rows.base, rows.tokens)
        return other

    def _move_to_front(self, base: int) -> None:
        """Move the rows of sliding layers so that token `base` is in row 0."""
        sliding, tokens = self._kinds[SLIDING], self.tokens
        first, end = base - sliding.base, sliding.end
        self.crop(0)  # if memory runs out between two layers, the cache is empty and not half moved
        for layer in self.layers:
            if layer.rows is sliding:
                layer.move(first, end)
        sliding.hold(base, tokens)
        self._kinds[FULL].hold(0, tokens)
