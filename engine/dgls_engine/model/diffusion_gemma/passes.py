"""Decoder passes over several canvases behind one prompt, and the tensors that go into them.

Who denoises or judges is given `Passes` and asks no more: not where the prompt's keys and values are kept, and not
whether a pass runs operation by operation (`Eager`, anywhere) or as a whole. Knows tensors, neither text nor what the
canvases are for. Runs on the engine thread. Shapes: B canvases, C canvas, R rows of all canvases, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import DynamicCache, DynamicLayer

from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.profile import PinnedSignal

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion

Places = tuple[Tensor, Tensor]
"""Rows of a batch, as an index into [B, C]: which canvas [R], and where in it [R]."""


class Passes(Protocol):
    """`pinned_signal`: from which step on pinned rows have their own embedding as self-conditioning signal; it is zero
    before. (Transformers' first step has zeros for all rows, vLLM leaves it at that for pinned ones.)
    """

    @property
    def model(self) -> DiffusionGemmaForBlockDiffusion: ...
    @property
    def pinned_signal(self) -> PinnedSignal: ...
    @property
    def asynchronous(self) -> bool:
        """Whether `run` leaves the work to a device of its own: then the next pass can be under way while the host is
        busy with the step before (0.3 to 0.5 ms of text, of a step that takes 6)."""
        ...

    def run(self, ids: Tensor, soft: Tensor | None, lengths: Sequence[int]) -> Tensor:
        """Hidden states [B, C, D] of the canvases `ids` [B, C], valid until the next run.

        Of canvas b only the first `lengths[b]` rows are seen and mean something; what is behind them pads it.
        `soft` [B, C, D] is the self-conditioning signal, None for zeros.
        """
        ...


class Eager:
    """The reference: operation by operation, over the keys and values `seen` of a prompt of so many `tokens`:
    on sliding layers the last `window - 1` of them alone, which takes two thirds of the time that a mask over all
    takes once the prompt is twice as long. Serves one request."""

    def __init__(
        self,
        model: DiffusionGemmaForBlockDiffusion,
        seen: DynamicCache,
        tokens: int,
        pinned_signal: PinnedSignal = "after-first",
    ) -> None:
        self.model = model
        self.pinned_signal = pinned_signal
        self.asynchronous = model.device.type == "cuda"
        self.seen, self.tokens = seen, tokens

    def run(self, ids: Tensor, soft: Tensor | None, lengths: Sequence[int]) -> Tensor:
        seen = self.seen if len(ids) == 1 else _repeated(self.seen, len(ids))
        whole = all(length == ids.shape[1] for length in lengths)
        masks = decoder.NO_MASKS if whole else _padding_masks(self.model, ids, lengths, seen)
        return decoder.decode(self.model, ids, soft, seen, masks, self.tokens)


def stacked(canvases: Sequence[Tensor], device: torch.device) -> Tensor:
    """Canvases [C] each, from the CPU, as one batch [B, C] on `device`, padded on the right."""
    return sent(pad_sequence(list(canvases), batch_first=True), device)


def places(rows: Sequence[Tensor], device: torch.device) -> Places:
    """The `rows` of each canvas, positions [R_b] on the CPU, as places in the batch."""
    numbers = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(own) for own in rows]))
    number, position = sent(torch.stack([numbers, torch.cat(list(rows))]), device)
    return number, position


def sent(values: Tensor, device: torch.device) -> Tensor:
    """`values` from the CPU on `device`, without waiting for what it is at."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def _repeated(seen: DynamicCache, times: int) -> DynamicCache:
    """The same prompt for each canvas of a batch: views, nothing is copied."""
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
    """All of the prompt that is within reach, and the canvas without its padding."""
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
