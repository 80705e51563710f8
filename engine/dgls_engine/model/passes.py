"""The interface between the denoising loop and a model's architecture: forward passes and what they need.

    prompt: KeptPrompt      # keys and values of the prompt's tokens
    passes: Passes          # passes over canvases behind that prompt; `passes.head` turns hidden states into logits
    carry: Carry            # what one pass hands to the next; the loop does not look inside

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


ABSENT = -1
"""The id of a canvas row that is not there, in families whose holes grow and shrink: the rows around it are
neighbours."""


class Carry(Protocol):
    """What one pass hands to the next in addition to the canvases' ids. Opaque to the loop."""

    def kept(self, batch: Tensor, width: int) -> Self:
        """The carry of only the canvases `batch` [b], cut to `width`."""
        ...

    def next(self, rows: Places, signal: Tensor | None) -> Self:
        """The carry for the next step. `signal` is the result of `Head.signal` or `Head.mean` for the hole rows."""
        ...


class Head(Protocol):
    """Turns hidden states into logits, and probabilities of tokens into a signal for the next step."""

    @property
    def device(self) -> torch.device: ...

    @property
    def cap(self) -> float | None:
        """Logits are cap * tanh(raw / cap). None: they are the raw ones."""
        ...

    def raw(self, hidden: Tensor) -> Tensor:
        """Raw logits [..., V], in the weights' dtype."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] in float32."""
        ...

    def signal(self, logits: Tensor) -> Tensor | None:
        """The signal [R, D] of a step's logits [R, V]; None for families without a signal."""
        ...

    def mean(self, probabilities: Tensor) -> Tensor | None:
        """The signal [R, D] of `probabilities` [R, V] in the weights' dtype."""
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
        """Whether `run` only queues work on a device. Then the next pass can run while the host reads the text of the
        step before (0.3 to 0.5 ms of a step of 6 ms)."""
        ...

    def start(self, ids: Tensor, rows: Places, drafted: Tensor) -> C:
        """The carry for the first step over `ids` [B, C]. `rows` are the hole rows; `drafted` [R] says which hold a
        draft."""
        ...

    def judging(self, ids: Tensor, unseen: Places) -> C:
        """The carry for a pass that scores texts. `ids` [B, C] holds the texts; the pass shows noise in the `unseen`
        rows."""
        ...

    def without_adapter(self) -> Self:
        """These passes by the model as it was before an adapter taught it to fill; the same passes for models without
        one."""
        ...

    def run(self, ids: Tensor, carry: C, lengths: Sequence[int], rows: Places) -> Tensor:
        """Hidden states [R, D] that predict the tokens at `rows` of the canvases `ids` [B, C].

        Canvas b has `lengths[b]` positions; the rest of its row is padding.
        """
        ...


class KeptPrompt(Protocol):
    """The keys and values of `tokens` prompt tokens, with room for `capacity` tokens."""

    @property
    def tokens(self) -> int: ...
    @property
    def capacity(self) -> int: ...

    @property
    def chunk(self) -> int:
        """How many tokens to encode together; the encoder reads the cancel token between two chunks."""
        ...

    def crop(self, length: int) -> int:
        """Keep the first `length` tokens. Returns the number of tokens kept: `length`, or 0 if that is not possible."""
        ...

    def extend(self, ids: Sequence[int]) -> None:
        """Encode the next tokens of the prompt, at most `chunk`."""
        ...

    def grown(self, capacity: int) -> Self:
        """A copy of this prompt with room for `capacity` tokens, in new buffers."""
        ...
