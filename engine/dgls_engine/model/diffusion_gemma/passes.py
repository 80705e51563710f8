"""Decoder passes over several canvases behind one prompt: `model.passes.Passes` for DiffusionGemma.

`Decoding` adds self-conditioning and the head to one of two ways to run the decoder: `Eager` (operation by operation,
on any device) or `captured.Captured`. Knows tensors, no text. Runs on the engine thread. Shapes: B canvases, C canvas,
R rows of all canvases, D hidden, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from dgls_engine.model.batches import Places, sent
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.profile import PinnedSignal

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class SoftCappedHead:
    """A `model.passes.Head` over tied embeddings."""

    def __init__(self, model: DiffusionGemmaForBlockDiffusion) -> None:
        self._model = model

    @property
    def device(self) -> torch.device:
        return self._model.device

    @property
    def cap(self) -> float:
        cap: float = self._model.final_logit_softcapping
        return cap

    def raw(self, hidden: Tensor) -> Tensor:
        return decoder.head(self._model, hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        return decoder.logits(self._model, hidden)

    def signal(self, logits: Tensor) -> Tensor:
        return decoder.soft_embeddings(self._model, logits)

    def mean(self, probabilities: Tensor) -> Tensor:
        return decoder.mean_embeddings(self._model, probabilities)


@dataclass(frozen=True, slots=True)
class SelfConditioning:
    """A `model.passes.Carry`: the signal `soft` [B, C, D] of the next step, None for zeros, and the signal `pins`
    [B, C, D] that pinned rows keep."""

    pins: Tensor
    soft: Tensor | None

    def kept(self, batch: Tensor, width: int) -> Self:
        soft = None if self.soft is None else self.soft[batch, :width]
        return type(self)(self.pins[batch, :width], soft)

    def next(self, rows: Places, signal: Tensor | None) -> Self:
        assert signal is not None, "each step of this family has a signal"
        return type(self)(self.pins, self.pins.index_put(rows, signal))


class Decoding(ABC):
    """`pinned_signal`: from which step on the self-conditioning signal of a pinned row is its own embedding; before, it
    is zero. (In transformers the first step has zeros in all rows; in vLLM pinned rows always have zeros.)
    """

    def __init__(self, model: DiffusionGemmaForBlockDiffusion, pinned_signal: PinnedSignal) -> None:
        self.model = model
        self.pinned_signal = pinned_signal
        self.head = SoftCappedHead(model)
        self.device: torch.device = model.device
        self.asynchronous = model.device.type == "cuda"

    @abstractmethod
    def hidden(self, ids: Tensor, soft: Tensor | None, lengths: Sequence[int]) -> Tensor:
        """Hidden states [B, C, D] of the canvases `ids` [B, C], valid until the next call.

        Canvas b has `lengths[b]` rows; the rest of its rows are padding: no row sees them, and their result is
        undefined. `soft` [B, C, D] is the self-conditioning signal, None for zeros.
        """

    def start(self, ids: Tensor, rows: Places, drafted: Tensor) -> SelfConditioning:
        embedded = decoder.embed(self.model, ids)
        pins = torch.zeros_like(embedded) if self.pinned_signal == "never" else embedded
        if self.pinned_signal != "always" and not drafted.any():
            return SelfConditioning(pins, None)
        # A draft takes the place of a step, so it comes with a signal.
        drafts = embedded[rows].masked_fill(~drafted[:, None], 0.0)
        return SelfConditioning(pins, pins.index_put(rows, drafts))

    def without_adapter(self) -> Self:
        return self

    def judging(self, ids: Tensor, unseen: Places) -> SelfConditioning:
        if self.pinned_signal != "always":
            return SelfConditioning(ids, None)
        signal = decoder.embed(self.model, ids)
        signal[unseen] = 0.0
        return SelfConditioning(signal, signal)

    def run(self, ids: Tensor, carry: SelfConditioning, lengths: Sequence[int], rows: Places) -> Tensor:
        return self.hidden(ids, carry.soft, lengths)[rows]


class Eager(Decoding):
    """The reference: operation by operation, over the keys and values `seen` of a prompt of `tokens` tokens.

    Sliding layers get only the last `window - 1` rows. For a prompt of twice that length, this takes two thirds of the
    time of a mask over all rows. An object serves one request.
    """

    def __init__(
        self,
        model: DiffusionGemmaForBlockDiffusion,
        seen: DynamicCache,
        tokens: int,
        pinned_signal: PinnedSignal = "after-first",
    ) -> None:
        super().__init__(model, pinned_signal)
        self.seen, self.tokens = seen, tokens

    def hidden(self, ids: Tensor, soft: Tensor | None, lengths: Sequence[int]) -> Tensor:
        seen = self.seen if len(ids) == 1 else _repeated(self.seen, len(ids))
        whole = all(length == ids.shape[1] for length in lengths)
        masks = decoder.NO_MASKS if whole else _padding_masks(self.model, ids, lengths, seen)
        return decoder.decode(self.model, ids, soft, seen, masks, self.tokens)


def _repeated(seen: DynamicCache, times: int) -> DynamicCache:
    """The same prompt for each canvas of a batch, as views without a copy."""
    layers: list[Any] = seen.layers
    repeated = DynamicCache()
    for layer in layers:
        view: Any = DynamicLayer()  # type: ignore[no-untyped-call]
        view.lazy_initialization(layer.keys, layer.values)
        view.keys, view.values = (states.expand(times, -1, -1, -1) for states in (layer.keys, layer.values))
        repeated.layers.append(view)
    return repeated


def _padding_masks(
    model: DiffusionGemmaForBlockDiffusion, ids: Tensor, lengths: Sequence[int], seen: DynamicCache
) -> decoder.AttentionMasks:
    """Masks that allow all rows of `seen`, and the canvas without its padding."""
    layers: list[Any] = seen.layers
    batch, longest = ids.shape
    ends = sent(torch.tensor(lengths), ids.device)
    valid = torch.arange(longest, device=ids.device) < ends[:, None]
    masks: decoder.AttentionMasks = {}
    for kind, layer in zip(model.model.decoder.text_config.layer_types, layers, strict=True):
        if kind not in masks:
            allowed = torch.cat([valid.new_ones(batch, layer.keys.shape[-2]), valid], dim=1)
            masks[kind] = allowed[:, None, None, :].expand(-1, 1, longest, -1)
    return masks
