"""Decoder passes that are captured once for each shape and replayed: a pass costs a handful of launches, not thousands.

    ids, signal, lengths -> buffers that never move -> replay -> hidden states

There are few shapes: canvases are padded to the next of `widths.WIDTHS`, batches to the next of `BATCHES`. The prompt
is not part of a shape: our attention reads its rows and how many there are from `PromptCache`'s own buffers, so one
capture serves every prompt. How work is captured is an object passed in (`CudaGraphs`; on a CPU `run_again`, which
takes the same way without a graph and is what the tests compare with `Eager`). What cannot be captured runs through
`Eager`, the reference. Knows tensors, no text. Runs on the engine thread. Shapes: B canvases, C canvas, D hidden.
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
"""How many canvases a captured pass has; larger batches run in parts. A hole of 96 tokens is tried at 20 lengths."""

GRAPHS = 16
"""Shapes that stay captured. Each takes some megabytes of the device's memory for its launches; all share one pool."""

_log = logging.getLogger(__name__)

Work = Callable[[], None]


class Capture(Protocol):
    def __call__(self, work: Work) -> Work:
        """What does `work` again: the same operations on the same buffers, whatever they hold by then."""
        ...


def run_again(work: Work) -> Work:
    """Nothing is captured: for a device without graphs."""
    return work


def capture_on(device: torch.device) -> Capture:
    """What `device` offers."""
    return CudaGraphs(device) if device.type == "cuda" else run_again


class CudaGraphs:
    """Captures on a stream of its own, all graphs' memory from one pool: none of them runs while another does, and
    nothing in it outlives a replay. Once all its graphs are gone, or a capture has failed, a pool takes no more."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, work: Work) -> Work:
        current, graph = torch.cuda.current_stream(self._device), torch.cuda.CUDAGraph()
        # The stream is named here, too: torch's own `graph` leaves it current where a capture fails.
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            self._stream.wait_stream(current)
            try:
                work()  # kernels are compiled and libraries set up, neither of which can be captured
                with no_waits():  # nor can a wait: torch's allocator would stay amid the capture for good
                    work()
                # Other threads may ask the device for its free memory meanwhile.
                with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                    work()
            finally:
                current.wait_stream(self._stream)
        return graph.replay


class Captured(Decoding):
    """Passes of `model` behind the prompt last named by `behind`, over canvases of at most `canvas_length` tokens."""

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

    def behind(self, prompt: PromptCache) -> Captured:
        """Itself, behind this prompt. What was captured behind other buffers is forgotten."""
        if prompt is not self._prompt:
            self.forget()
            self._prompt = prompt
        return self

    def forget(self) -> None:
        """Let go of the prompt and of all that was captured behind it."""
        self._replays.clear()
        self._prompt = None
        self._capture = self._open_capture(self.model.device)

    @torch.inference_mode()
    def prepare(self, batch: int, tokens: int) -> None:
        """Capture what passes over so many canvases, of so many tokens, will need."""
        self._replay(self._shape(min(batch, BATCHES[-1]), tokens))

    def hidden(self, ids: Tensor, soft: Tensor | None, lengths: Sequence[int]) -> Tensor:
        most = BATCHES[-1]
        if len(ids) <= most:
            return self._run(ids, soft, lengths)
        parts = [slice(start, start + most) for start in range(0, len(ids), most)]
        signals = [None if soft is None else soft[part] for part in parts]
        each = zip(parts, signals, strict=True)
        return torch.cat([self._run(ids[part], own, lengths[part]).clone() for part, own in each])

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
        assert self._prompt is not None, "a pass is run behind a prompt"
        return self._prompt

    def _replay(self, shape: Shape) -> Work | None:
        """What runs the pass, captured if it was not yet; None if that has failed before."""
        if shape not in self._replays:
            self._replays[shape] = self._captured(shape)
        self._replays.move_to_end(shape)
        if len(self._replays) > GRAPHS:
            self._replays.popitem(last=False)
        return self._replays[shape]

    def _captured(self, shape: Shape) -> Work | None:
        """A capture may fail for what a plain run has no trouble with (a wait for the device in some layer, a kernel
        that this GPU has no room for, memory for one more graph): then the reference still serves."""
        prompt, buffers = self._behind(), self._buffers
        try:
            return self._capture(lambda: buffers.run(self.model, shape, prompt))
        except Exception:
            _log.warning("passes over %d canvases of %d tokens run uncaptured from here on", *shape, exc_info=True)
            self._capture = self._open_capture(self.model.device)
            return None


Shape = tuple[int, int]
"""Canvases and their width: B and C of a captured pass."""


class _Buffers:
    """What captured passes read and where their outcome is left: at addresses that stay, the same ones for all shapes,
    since one pass runs at a time."""

    @torch.inference_mode(False)  # made under it they could not be written outside of it
    def __init__(self, model: DiffusionGemmaForBlockDiffusion, batch: int, width: int) -> None:
        like = model.model.decoder.embed_tokens.weight.detach()
        rows = batch * width
        self._ids = like.new_zeros(rows, dtype=torch.long)
        self._soft, self._hidden = like.new_zeros(rows, like.shape[1]), like.new_zeros(rows, like.shape[1])
        self._lengths = like.new_zeros(batch, dtype=torch.int32)
        self._positions = torch.arange(width, device=like.device)[None]
        self._held: tuple[Shape, torch.Size] | None = None
        self._long: tuple[int, ...] = ()
        self._start = 0

    def fill(self, shape: Shape, ids: Tensor, soft: Tensor | None, lengths: Sequence[int], start: int) -> None:
        """Padding holds zeros, so that a pass does not depend on what ran before."""
        batch, width = ids.shape
        if self._held != (shape, ids.shape):
            self._in(shape, self._ids).zero_()
            self._in(shape, self._soft).zero_()
            self._held = shape, ids.shape
        self._in(shape, self._ids)[:batch, :width] = ids
        if soft is None:
            self._in(shape, self._soft).zero_()
        else:
            self._in(shape, self._soft)[:batch, :width] = soft
        padded = (*lengths, *[1] * (shape[0] - batch))
        if padded != self._long:
            self._lengths[: shape[0]] = sent(torch.tensor(padded, dtype=torch.int32), self._lengths.device)
            self._long = padded
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
        """[B, C, D], as the last pass of this shape left them."""
        return self._in(shape, self._hidden)

    def _in(self, shape: Shape, values: Tensor) -> Tensor:
        """The part of a buffer [rows, ...] that a shape uses, as [B, C, ...]."""
        batch, width = shape
        return values[: batch * width].view(batch, width, *values.shape[1:])
