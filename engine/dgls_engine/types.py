"""What goes into the engine and what comes out: frozen values, no torch.

Everybody may import this module (it costs nothing); it knows neither tokens' ids nor LSP. All of it may be
used from any thread: the only mutable thing here, `CancelToken`, is thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Finish = Literal["stable", "steps", "deadline"]
"""Why denoising ended: the drafts settled, the step budget was spent, or the deadline struck."""


Loading = Callable[[int, int], None]
"""Told of a load under way, on the thread that loads: bytes that are read, and bytes in all."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code of another file, shown so that the model knows what is there; `path` is that file's."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """What the encoder reads beside the canvas; constant while the user types inside the region.

    `above` and `below` are the file's text outside the canvas, in file order; the engine shortens them to the
    prompt's budget (the end of `above` and the start of `below` stay). `path` is shown to the model as it is.
    `snippets`, the most important first, get a part of it at most, and what they leave is the file's. `current` is
    the code that now stands where the holes are, for a model that is to write it anew; `instruction` says in words what
    is wanted of it, to models that take instructions.
    """

    path: str = ""
    language: str = ""
    above: str = ""
    below: str = ""
    snippets: tuple[Snippet, ...] = ()
    current: str = ""
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Pinned:
    """Text that stands in the canvas and cannot change."""

    text: str


@dataclass(frozen=True, slots=True)
class Blank:
    """A hole starts from noise alone."""


@dataclass(frozen=True, slots=True)
class Resume:
    """A hole starts from `text`, what is left of an earlier fill.

    Its tokens stand in the hole at the first step in place of noise, free to change, and denoising ends as soon as the
    model is sure of them. The text widens a hole that is too short for it.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("a hole resumes from a text that is not empty; use Blank()")


@dataclass(frozen=True, slots=True)
class Revise:
    """A hole starts from `text`, which changes a little: the share `strength` of its tokens that the model doubts most,
    at least one, is generated anew, each run of them in about its own length. The rest comes back as it is, with the
    hole's stop if it holds one, and the hole's bounds don't matter. A higher strength regenerates a superset of the
    tokens. At strength 1 all of it is noise: the text tells only how long the hole is, where the policy keeps to one
    length."""

    text: str
    strength: float

    def __post_init__(self) -> None:
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"a revision's strength lies in (0, 1], not {self.strength}")


Start = Blank | Resume | Revise


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in the canvas that the model fills.

    `min_tokens` and `max_tokens` bound its length; the hole policy decides which length in between. The fill ends
    before the first `stop`, if one is given. `start` is what stands in it before the first step.
    """

    min_tokens: int = 1
    max_tokens: int = 32
    stop: str | None = None
    start: Start = Blank()

    def __post_init__(self) -> None:
        if not 0 <= self.min_tokens <= self.max_tokens or self.max_tokens == 0:
            bounds = f"{self.min_tokens}..{self.max_tokens}"
            raise ValueError(f"a hole needs 0 <= min_tokens <= max_tokens and room for a token, not {bounds}")
        if self.stop == "":
            raise ValueError("a hole's stop is a non-empty text or None")


Segment = Pinned | Hole


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one request. None: the model's own number of steps; no deadline.

    `deadline_ms` counts from the start of `Engine.infill`, prefill included; at least one step is always taken.
    """

    max_steps: int | None = None
    deadline_ms: int | None = None


@dataclass(frozen=True, slots=True)
class InfillRequest:
    """One canvas to denoise. Segments stand in text order; at least one is a `Hole`.

    The same seed, request, device and cache state give the same text.
    """

    context: Context
    segments: Sequence[Segment]
    limits: Limits = Limits()
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", tuple(self.segments))
        if not any(isinstance(segment, Hole) for segment in self.segments):
            raise ValueError("an infill request needs at least one Hole among its segments")


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of a fill: its text, the probability (0 to 1, at temperature 1) that the model gave it, and the entropy
    of its position in nats, which is low where the model is certain."""

    text: str
    probability: float
    entropy: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A length that was denoised to the end: the `tokens` of its text, and how much the text surprised the model, in
    nats, before a calibration's `length_bias`. The least surprising one is the answer."""

    text: str
    tokens: int
    nats: float


@dataclass(frozen=True, slots=True)
class Fill:
    """The text of one hole, during denoising and as the answer.

    `pieces` are its tokens, where they are known. `confidence` (0 to 1) is calibrated: of the fills with 0.3, three in
    ten are right. It is None for a model without calibration points. `probability` is the product of the token
    probabilities, from which the confidence is computed. `trials` are the lengths judged last: none where there was
    one length only, and none for a draft of which a part was kept.
    """

    text: str
    pieces: tuple[Piece, ...]
    confidence: float | None
    probability: float
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step: ascending `index` from 1, a fill a hole, mean `entropy` of the hole positions in nats."""

    index: int
    fills: tuple[Fill, ...]
    entropy: float


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds spent on the prompt (`prefill_ms`) and in the loop (`denoise_ms`)."""

    prefill_ms: float
    denoise_ms: float


@dataclass(frozen=True, slots=True)
class Infill:
    """The answer: a fill for each hole, in segment order.

    `prompt_tokens` were in the prompt, of which `prefilled_tokens` had to be computed (the rest came from the
    KV cache); `canvas_tokens` were denoised together, of which `hole_tokens` stood in holes.
    `passes` are forward passes over canvases: the `steps`, and those in which lengths were judged or drafts were
    doubted.
    """

    fills: tuple[Fill, ...]
    steps: int
    finish: Finish
    timings: Timings
    prompt_tokens: int
    prefilled_tokens: int
    canvas_tokens: int
    hole_tokens: int
    passes: int = 0

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(fill.text for fill in self.fills)


@dataclass(slots=True)
class CancelToken:
    """Asks a running request to end; read by the engine at every step. Thread-safe, cannot be undone."""

    _event: threading.Event = field(default_factory=threading.Event, repr=False)

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()
