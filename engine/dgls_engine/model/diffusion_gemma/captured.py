"""Captures decoder passes once for each shape and replays them: a pass then costs a few launches instead of thousands.

    ids, signal, lengths -> buffers with fixed addresses -> replay -> hidden states

There are few shapes: canvases are padded to the next of `widths.WIDTHS`, batches to the next of `BATCHES`. The prompt
is not part of a shape: `attention.attend` reads the prompt's rows and their number from the buffers of `PromptCache`,
so one capture serves every prompt. The caller passes in how to capture: `CudaGraphs`, or on a CPU `run_again`, which
runs the same code without a graph, so that tests can compare it with `Eager`. A pass that cannot be captured runs
through `Eager`, the reference. Knows tensors, no text. Runs on the engine thread. Shapes: B canvases, C canvas, D
hidden.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from dgls_engine.device import no_waits
from dgls_engine.model.batches import sent
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import Decoding, Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import PromptCache
from dgls_engine.model.widths import width_for
from dgls_engine.profile import PinnedSignal

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion

BATCHES = (1, 2, 4, 6, 8, 12, 16, 20)
"""Batch sizes of captured passes; larger batches run in parts. A hole of 96 tokens competes in 20 lengths."""

GRAPHS = 16
"""The number of shapes that stay captured. Each takes some megabytes of device memory for its launches; all share one
pool."""

_log = logging.getLogger(__name__)

Work = Callable[[], None]


class Capture(Protocol):
    def __call__(self, work: Work) -> Work:
        """A function that repeats `work`: the same operations on the same buffers with their current contents."""
        ...


def run_again(work: Work) -> Work:
    """The capture for a device without graphs: each replay runs `work` itself."""
    return work


def capture_on(device: torch.device) -> Capture:
    """The best capture for `device`."""
    return CudaGraphs(device) if device.type == "cuda" else run_again


class CudaGraphs:
    """Captures CUDA graphs on a separate stream, with memory from one pool.

    The graphs can share a pool because they never run at the same time, and because nothing in the pool is needed after
    a replay. A pool cannot be used again after all its graphs are gone or after a capture has failed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, work: Work) -> Work:
        current, graph = torch.cuda.current_stream(self._device), torch.cuda.CUDAGraph()
        # Set the stream here, too: after a failed capture, `torch.cuda.graph` leaves it as the current stream.
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            self._stream.wait_stream(current)
            try:
                work()  # compiles kernels and sets up libraries, which a capture cannot contain
                with no_waits():  # a wait during the capture would leave torch's allocator in capture mode for good
                    work()
                # Thread-local, because other threads may query the device's free memory during the capture.
                with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                    work()
            finally:
                current.wait_stream(self._stream)
        return graph.replay


class Captured(Decoding):
    """Passes of `model` behind the prompt that `passes_after` set last. A canvas has at most `canvas_length` tokens."""

    def __init__(
        self,
        model: DiffusionGemmaForBlockDiffusion,
        canvas_length: int,
        pinned_signal: PinnedSignal = "after-first",
        open_capture: Callable[[torch.device], Capture] = capture_on,
    ) -> None:
        super().__init__(model, pinned_signal)
        self._widest = canvas_length
        self._open_capture = open_capture
        self._buffers = _Buffers(model, BATCHES[-1], canvas_length)
        self._capture = open_capture(model.device)
        self._prompt: PromptCache | None = None
        self._replays: OrderedDict[Shape, Work | None] = OrderedDict()

    def passes_after(self, prompt: PromptCache) -> Captured:
        """Set the prompt and return self. Drops the captures if the prompt has other buffers."""
        if prompt is not self._prompt:
            self.forget()
            self._prompt = prompt
        return self

    def forget(self) -> None:
        """Drop the prompt and all captures."""
        self._replays.clear()
        self._prompt = None
        self._capture = self._open_capture(self.model.device)

    @torch.inference_mode()
    def prepare(self, batch: int, tokens: int) -> None:
        """Capture passes over `batch` canvases of `tokens` tokens."""
        self._replay(self._shape(min(batch, BATCHES[-1]), tokens))

    def hidden(self, ids: Tensor, soft: Tensor | None, lengths: Sequence[int]) -> Tensor:
        largest = BATCHES[-1]
        if len(ids) <= largest:
            return self._run(ids, soft, lengths)
        parts = [slice(start, start + largest) for start in range(0, len(ids), largest)]
        signals = [None if soft is None else soft[part] for part in parts]
        inputs = zip(parts, signals, strict=True)
        return torch.cat([self._run(ids[part], signal, lengths[part]).clone() for part, signal in inputs])

    def _run(self, ids: Tensor, soft: Tensor | None, lengths: Sequence[int]) -> Tensor:
        prompt = self._behind()
        replay = self._replay(shape := self._shape(len(ids), ids.shape[1]))
        if replay is None:
            return Eager(self.model, prompt.seen(), prompt.tokens).hidden(ids, soft, lengths)
        self._buffers.fill(shape, ids, soft, lengths, prompt.tokens)
        replay()
        hidden: Tensor = self._buffers.hidden(shape)[: len(ids), : ids.shape[1]]
        return hidden

    def _shape(self, batch: int, tokens: int) -> Shape:
        assert tokens <= self._widest
        return next(size for size in BATCHES if batch <= size), width_for(tokens, self._widest)

    def _behind(self) -> PromptCache:
        assert self._prompt is not None, "a pass needs a prompt: call `passes_after` first"
        return self._prompt

    def _replay(self, shape: Shape) -> Work | None:
        """The function that replays the pass; captures the pass first if necessary. None if its capture failed."""
        if shape not in self._replays:
            self._replays[shape] = self._captured(shape)
        self._replays.move_to_end(shape)
        if len(self._replays) > GRAPHS:
            self._replays.popitem(last=False)
        return self._replays[shape]

    def _captured(self, shape: Shape) -> Work | None:
        """Capture the pass; None if that fails. A capture can fail where a plain run works (a layer waits for the
        device, a kernel needs too much of this GPU, there is no memory for one more graph); then `Eager` runs the pass.
        """
        prompt, buffers = self._behind(), self._buffers
        try:
            return self._capture(lambda: buffers.run(self.model, shape, prompt))
        except Exception:
            _log.warning("Passes over %d canvases of %d tokens now run without a capture", *shape, exc_info=True)
            self._capture = self._open_capture(self.model.device)
            return None


Shape = tuple[int, int]
"""Canvases and their width: B and C of a captured pass."""


class _Buffers:
    """Inputs and outputs of captured passes, at fixed addresses. Shapes share them, since one pass runs at a time."""

    @torch.inference_mode(False)  # a buffer made in inference mode cannot be written outside of it
    def __init__(self, model: DiffusionGemmaForBlockDiffusion, batch: int, width: int) -> None:
        like = model.model.decoder.embed_tokens.weight.detach()
        rows = batch * width
        self._ids = like.new_zeros(rows, dtype=torch.long)
        self._soft, self._hidden = like.new_zeros(rows, like.shape[1]), like.new_zeros(rows, like.shape[1])
        self._lengths = like.new_zeros(batch, dtype=torch.int32)
        self._positions = torch.arange(width, device=like.device)[None]
        self._filled: tuple[Shape, torch.Size] | None = None
        self._padded_lengths: tuple[int, ...] = ()
        self._start = 0

    def fill(self, shape: Shape, ids: Tensor, soft: Tensor | None, lengths: Sequence[int], start: int) -> None:
        """Write the inputs of a pass. Padding is zero, so that a pass does not depend on earlier ones."""
        batch, width = ids.shape
        if self._filled != (shape, ids.shape):
            self._in(shape, self._ids).zero_()
            self._in(shape, self._soft).zero_()
            self._filled = shape, ids.shape
        self._in(shape, self._ids)[:batch, :width] = ids
        if soft is None:
            self._in(shape, self._soft).zero_()
        else:
            self._in(shape, self._soft)[:batch, :width] = soft
        padded = (*lengths, *[1] * (shape[0] - batch))
        if padded != self._padded_lengths:
            self._lengths[: shape[0]] = sent(torch.tensor(padded, dtype=torch.int32), self._lengths.device)
            self._padded_lengths = padded
        if start != self._start:
            self._positions += start - self._start
            self._start = start

    def run(self, model: DiffusionGemmaForBlockDiffusion, shape: Shape, prompt: PromptCache) -> None:
        batch, width = shape
        hidden = decoder.decode_at(
            model,
            self._in(shape, self._ids),
            self._in(shape, self._soft),
            self._positions[:, :width],
            prompt=prompt,
            lengths=self._lengths[:batch],
        )
        self.hidden(shape).copy_(hidden)

    def hidden(self, shape: Shape) -> Tensor:
        """The hidden states [B, C, D] of the last pass of this shape."""
        return self._in(shape, self._hidden)

    def _in(self, shape: Shape, values: Tensor) -> Tensor:
        """The part of a buffer [rows, ...] that a shape uses, as [B, C, ...]."""
        batch, width = shape
        return values[: batch * width].view(batch, width, *values.shape[1:])
