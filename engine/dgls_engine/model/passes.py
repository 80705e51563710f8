"""The port between the denoising loop and a model's architecture: what the loop asks of a forward pass.

    prompt: KeptPrompt      # keys and values of the prompt's tokens
    passes: Passes          # passes over canvases behind that prompt; `passes.head` turns hidden states into logits
    carry: Carry            # what one step leaves for the next; the loop hands it on without looking inside

Knows neither text nor sampling. Runs on the engine thread. Shapes: B canvases, C canvas, R rows of all canvases,
D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dgls_engine.model.batches import Places


class Carry(Protocol):
    """What one step leaves for the next beside the canvases' ids. Opaque to the loop."""

    def kept(self, batch: Tensor, width: int) -> Self:
        """For the canvases `batch` [b] alone, cut to `width`."""
        ...

    def next(self, rows: Places, signal: Tensor | None) -> Self:
        """For the next step; `signal` is what `Head.signal` or `Head.mean` gave for the hole rows."""
        ...


class Head(Protocol):
    """From hidden states to tokens, and from tokens' probabilities to a signal for the next step."""

    @property
    def device(self) -> torch.device: ...

    @property
    def cap(self) -> float | None:
        """Logits are cap * tanh(raw / cap); None: they are the raw ones."""
        ...

    def raw(self, hidden: Tensor) -> Tensor:
        """Raw logits [..., V], in the weights' dtype."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] in float32."""
        ...

    def signal(self, logits: Tensor) -> Tensor | None:
        """The signal [R, D] of a step's logits [R, V], None for families without one."""
        ...

    def mean(self, probabilities: Tensor) -> Tensor | None:
        """The same of `probabilities` [R, V] in the weights' dtype."""
        ...


C = TypeVar("C", bound=Carry)


class Passes(Protocol[C]):
    """Forward passes over canvases behind one prompt."""

    @property
    def head(self) -> Head: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def asynchronous(self) -> bool:
        """Whether `run` leaves the work to a device of its own: then the next pass can be under way while the host is
        busy with the step before (0.3 to 0.5 ms of text, of a step that takes 6)."""
        ...

    def start(self, ids: Tensor, rows: Places, drafted: Tensor) -> C:
        """Before the first step over `ids` [B, C]; `rows` are the hole rows, those that are `drafted` [R] hold text."""
        ...

    def judging(self, ids: Tensor, unseen: Places) -> C:
        """For one pass that judges canvases: `ids` [B, C] is the text; the `unseen` rows show noise in its stead."""
        ...

    def run(self, ids: Tensor, carry: C, lengths: Sequence[int], rows: Places) -> Tensor:
        """Hidden states [R, D] that predict the tokens at `rows`, of the canvases `ids` [B, C].

        Of canvas b only the first `lengths[b]` positions count; the rest pads it.
        """
        ...


class KeptPrompt(Protocol):
    """The keys and values of a prompt's tokens, with room for `capacity` of them."""

    @property
    def tokens(self) -> int: ...
    @property
    def capacity(self) -> int: ...

    @property
    def chunk(self) -> int:
        """How many tokens are best encoded between two looks at the cancel token."""
        ...

    def crop(self, length: int) -> int:
        """Keep the first `length` tokens; returns how many could be kept, `length` or 0."""
        ...

    def extend(self, ids: Sequence[int]) -> None:
        """Encode at most `chunk` more tokens behind those that are held."""
        ...

    def grown(self, capacity: int) -> Self:
        """The same prompt with more room, in buffers of its own."""
        ...
