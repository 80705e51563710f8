"""The peer: an autoregressive model with the embedded model's size, training tokens and tokenizer, for comparison.

It has the interface of `Engine`. It runs the same modules causally: the encoder with its tied head is a language model
with a KV cache. It sees the same text as the denoiser: the prompt, the pinned code, and the freed bytes that the hole's
first token must start with. `dgls_training.next_token` trained it on this layout. It samples greedily, fills one hole,
ignores drafts, and keeps nothing between requests. Its self-conditioning weights are stored, but it does not run or
count them.

`is_peer(folder)` is true for the exported folder of a peer; `Peer.open(folder, ...)` has the parameters of
`Engine.open`. Not thread-safe.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from dgls_engine.errors import Cancelled, EngineClosed, EngineError
from dgls_engine.loop.constraint import Vocabulary
from dgls_engine.loop.sampler import entropy
from dgls_engine.loop.stopping import Deadline
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.prompt.formats import ABOVE, BELOW, open_prompt
from dgls_engine.text.canvas import Canvas, lay_out
from dgls_engine.text.length import Pad
from dgls_engine.text.reader import read
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import CancelToken, Fill, Finish, Infill, InfillRequest, Piece, Step, Timings
from dgls_engine.weights.loader import LoadedModel, load

END = "<|end|>"
"""The special token that separates the given code from the hole's text."""

PEER_FILE = "peer.json"
"""The file that marks the folder of a peer."""


def is_peer(folder: str | Path) -> bool:
    """Whether `folder` has an exported peer, for `Peer.open` rather than `Engine.open`."""
    return (Path(folder) / PEER_FILE).is_file()


def mark_as_peer(folder: Path) -> None:
    """Mark the checkpoint in `folder` as a peer."""
    values = {"sampling": "greedy", "fill_in_the_middle": "prefix-suffix-middle"}
    (folder / PEER_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Markers:
    """The ids of the special tokens in a sequence."""

    above: int
    below: int
    middle: int
    end: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Markers:
        return cls(tokenizer.id_of(ABOVE), tokenizer.id_of(BELOW), tokenizer.id_of(END), tokenizer.pad_id)

    def given(self, prompt: Sequence[int], before: Sequence[int], after: Sequence[int]) -> list[int]:
        """The ids in front of the hole's text: a prompt in the `raw` format and the canvas around the hole."""
        below, above = self._parts(prompt)
        return [self.above, *above, *before, self.below, *after, *below, self.middle]

    def plain(self, prompt: Sequence[int], text: Sequence[int]) -> list[int]:
        """The ids of code without a hole: the text above the canvas, then the canvas' text."""
        return [self.above, *self._parts(prompt)[1], *text]

    def _parts(self, prompt: Sequence[int]) -> tuple[list[int], list[int]]:
        """Split a prompt in the `raw` format into the ids (below, above)."""
        ids = list(prompt)
        border = ids.index(self.above)
        return ids[1:border], ids[border + 1 :]


class Peer:
    """An open peer. `clock` gives seconds."""

    def __init__(self, loaded: LoadedModel, clock: Callable[[], float] = time.perf_counter) -> None:
        causal = loaded.family.causal(loaded.model)
        used = causal.parameters
        self.info: ModelInfo = replace(loaded.info, parameters=used, weight_bytes=used * loaded.dtype.itemsize)
        self.profile: Profile = loaded.profile
        self._loaded: LoadedModel | None = loaded
        self._clock = clock
        self._tokenizer = loaded.tokenizer
        self._prompt = open_prompt(loaded.tokenizer, loaded.profile, loaded.folder)
        self._markers = Markers.of(loaded.tokenizer)
        self._vocabulary = Vocabulary(loaded.tokenizer, causal.vocabulary, loaded.device)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        overrides: Mapping[str, Any] = MappingProxyType({}),
    ) -> Self:
        """Load an exported peer. Raises the errors of `errors`; `EngineError` if `folder` holds no peer."""
        if not is_peer(folder):
            raise EngineError(f"{folder} has no {PEER_FILE}, so it is no autoregressive peer; open it with the engine")
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(load(folder, device, dtype).with_profile(overrides))

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        """Fill the request's one hole: a `Step` for each forward pass (one token), then one `Infill`.

        The first pass reads the prompt and the code around the hole. Raises `EngineError` for several holes.
        """
        if self._loaded is None:
            raise EngineClosed("the peer is closed; open it again")
        milliseconds = request.limits.deadline_ms
        deadline = Deadline(None if milliseconds is None else milliseconds / 1000, self._clock)
        canvas = lay_out(request.segments, self._tokenizer, self.profile, Pad().positions)
        if len(canvas.holes) != 1:
            raise EngineError(
                f"an autoregressive peer fills one hole, not {len(canvas.holes)}; send one hole a request"
            )
        yield from self._infill(self._loaded, request, canvas, deadline, cancel or CancelToken())

    @torch.inference_mode()
    def _infill(
        self, loaded: LoadedModel, request: InfillRequest, canvas: Canvas, deadline: Deadline, cancel: CancelToken
    ) -> Iterator[Step | Infill]:
        began, prefilled = self._clock(), 0.0
        [span] = canvas.holes
        canvas_ids = list(canvas.ids)
        prompt = self._prompt.encode(request.context)
        given = self._markers.given(prompt, canvas_ids[: span.start], canvas_ids[span.end :])
        unread, causal = given, loaded.family.causal(loaded.model)
        max_tokens = min(len(span), request.limits.max_steps or len(span))
        ids: list[int] = []
        token_probabilities: list[float] = []
        nats: list[float] = []
        finish: Finish | None = None
        while finish is None:
            if cancel.cancelled:
                raise Cancelled
            started = deadline.now()
            row = self._constrained(causal.read(unread), len(ids), canvas)
            probabilities = row.softmax(-1)
            token = int(row.argmax())
            ids.append(token)
            token_probabilities.append(float(probabilities[token]))
            nats.append(float(entropy(probabilities[None])))
            unread, prefilled = [token], prefilled or self._clock()
            fill = read(span, ids, self._tokenizer)
            stopped = fill.text != read(replace(span, stop=None), ids, self._tokenizer).text
            if stopped or token == self._markers.end:
                finish = "stable"
            elif len(ids) == max_tokens:
                finish = "steps"
            elif deadline.strikes_within(deadline.now() - started):
                finish = "deadline"
            pieces = tuple(map(Piece, fill.pieces, token_probabilities, nats))
            probability = math.prod(token_probabilities[: max(1, len(pieces))])  # the definition in `Reader.answers`
            answer = Fill(fill.text, pieces, self.profile.calibration.confidence(probability), probability)
            yield Step(len(ids), (answer,), sum(nats) / len(nats))
        yield Infill(
            fills=(answer,),
            steps=len(ids),
            finish=finish,
            timings=Timings((prefilled - began) * 1000, (self._clock() - prefilled) * 1000),
            prompt_tokens=len(given),
            prefilled_tokens=len(given),
            canvas_tokens=len(ids),
            hole_tokens=len(ids),
        )

    def close(self) -> None:
        """Free the model's memory. A second call does nothing."""
        self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _constrained(self, row: Tensor, index: int, canvas: Canvas) -> Tensor:
        """The logits `row` [V] of the hole's token `index`, with minus infinity for tokens that are not allowed."""
        [span] = canvas.holes
        prefix = span.freed if index == 0 else b""
        row[self._vocabulary.banned(index >= span.min_tokens, prefix)] = -math.inf
        return row
