"""The engine's requests and answers: frozen values.

Every module may import this one: it is cheap and needs no torch. It knows neither token ids nor LSP. Its values may be
used from any thread: the only mutable one, `CancelToken`, is thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Finish = Literal["stable", "steps", "deadline"]
"""Why denoising ended: the drafts no longer changed, the step budget was spent, or the deadline came."""


Loading = Callable[[int, int], None]
"""Progress callback of a load: (bytes read, bytes in all). Called on the thread that loads."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code of another file, at `path`, that the prompt shows to the model."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """What the prompt is made of. It stays the same while the user types inside the canvas.

    `above` and `below` are the file's text outside the canvas, in file order. The engine shortens them to the prompt's
    budget: it keeps the end of `above` and the start of `below`. The model sees `path` as it is. `snippets`, the most
    important first, get a limited share of the budget; the file's text gets the rest. `current` is the code that the
    model rewrites: the text in place of the holes. `instruction` tells a model that takes instructions, in words, what
    to write.
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
    """Text in the canvas that cannot change."""

    text: str


@dataclass(frozen=True, slots=True)
class Blank:
    """A hole starts from noise alone."""


@dataclass(frozen=True, slots=True)
class Resume:
    """A hole starts from `text`, the rest of an earlier fill.

    The text's tokens take the place of noise at the first step. All of them may change. Denoising ends as soon as the
    model is sure of them. A hole that is too short for the text becomes longer.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("a hole cannot resume from an empty text; use Blank()")


@dataclass(frozen=True, slots=True)
class Revise:
    """A hole starts from `text` and changes only a part of it.

    The model regenerates the share `strength` of the text's tokens that it doubts most, at least one token. Each run of
    regenerated tokens keeps about its length. All other tokens stay, even a stop of the hole, and the hole's bounds do
    not apply. A higher strength regenerates a superset of the tokens. At strength 1 the hole starts from noise alone; a
    policy with one length still takes that length from the text.
    """

    text: str
    strength: float

    def __post_init__(self) -> None:
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"a revision's strength must be above 0 and at most 1, not {self.strength}")


Start = Blank | Resume | Revise


@dataclass(frozen=True, slots=True)
class Beginning:
    """A way in which a fill may begin: with the blanks `indent`, and then with any word but `words`, or, without
    `others`, with one of `words`. These may then be longer texts, such as "for item"."""

    indent: str = ""
    words: frozenset[str] = frozenset()
    others: bool = True

    @property
    def texts(self) -> list[str]:
        """The indentation with each of `words`."""
        return [self.indent + word for word in sorted(self.words)]


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in the canvas that the model fills.

    `min_tokens` and `max_tokens` bound its length; the policy finds the length between them. The fill ends before the
    first `stop`, if there is one, and before a line that is indented less than `indent`, unless the line is blank.
    `begins` are the ways in which it may begin; none: any way. It does not begin with one of the tokens `avoid`,
    without the blanks around them; "" stands for a blank line. Models that fill from the left keep to these two.
    `start` is what the hole holds before the first step.
    """

    min_tokens: int = 1
    max_tokens: int = 32
    stop: str | None = None
    start: Start = Blank()
    indent: str = ""
    avoid: tuple[str, ...] = ()
    begins: tuple[Beginning, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.min_tokens <= self.max_tokens or self.max_tokens == 0:
            bounds = f"{self.min_tokens}..{self.max_tokens}"
            raise ValueError(f"a hole needs 0 <= min_tokens <= max_tokens and max_tokens >= 1, not {bounds}")
        if self.stop == "":
            raise ValueError("a hole's stop must be None or a text that is not empty")


Segment = Pinned | Hole


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one request. `max_steps` None: the profile's number of steps. `deadline_ms` None: no deadline.

    `deadline_ms` counts from the start of `Engine.infill` and includes the prefill. The engine always takes at least
    one step.
    """

    max_steps: int | None = None
    deadline_ms: int | None = None


@dataclass(frozen=True, slots=True)
class InfillRequest:
    """One canvas to denoise. Segments are in text order; at least one is a `Hole`.

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
    """One token of a fill: its text, its probability (0 to 1, at temperature 1), and the entropy of its position, in
    nats (low where the model is certain)."""

    text: str
    probability: float
    entropy: float = 0.0


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Texts to compare in one place: each stands between `before` and `after`, behind the prompt of `context`.

    Models that read from left to right see no `below` and no `after`, but a few tokens of `after` count as a part of
    the text. `texts` has at least one; an empty one is scored by what follows it.
    """

    context: Context
    before: str
    texts: Sequence[str]
    after: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", tuple(self.texts))
        if not self.texts:
            raise ValueError("a score request needs at least one text")


@dataclass(frozen=True, slots=True)
class Score:
    """How much a text surprises the model: the tokens that were read, and the surprise of each, in nats."""

    tokens: tuple[str, ...]
    surprises: tuple[float, ...]

    @property
    def nats(self) -> float:
        return sum(self.surprises)


@dataclass(frozen=True, slots=True)
class Trial:
    """A length of a hole that was denoised to the end and scored.

    `tokens` is the length of its text, `nats` the text's surprise before a calibration's `length_bias`. The trial with
    the lowest surprise is the answer.
    """

    text: str
    tokens: int
    nats: float


@dataclass(frozen=True, slots=True)
class Fill:
    """The text of one hole, during denoising and as the answer.

    `pieces` are its tokens; a server may not report them. `confidence` (0 to 1) is calibrated: three in ten fills with
    0.3 are right. It is None for a model without calibration points. `probability` is the product of the token
    probabilities; the confidence is computed from it. `trials` are the lengths scored last. They are empty if the hole
    had one length only, and if a part of a draft was kept.
    """

    text: str
    pieces: tuple[Piece, ...]
    confidence: float | None
    probability: float
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step: its `index` from 1, a fill for each hole, the mean `entropy` of hole positions in nats."""

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

    The prompt had `prompt_tokens`; the encoder computed `prefilled_tokens` of them, the rest came from the KV cache.
    The canvas had `canvas_tokens`, of them `hole_tokens` in holes. `passes` counts forward passes over canvases: the
    `steps`, and the passes that score lengths or find a draft's doubtful tokens.
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
    """Asks a running request to end. The engine reads it at every step. Thread-safe; `cancel` cannot be undone."""

    _event: threading.Event = field(default_factory=threading.Event, repr=False)

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()
