"""The embedded model's honest peer: autoregressive, of its size, tokens and tokenizer, behind `Engine`'s interface.

The same modules run causally: the encoder with its tied head is a language model with a KV cache. It sees just what
the denoiser sees (the same prompt, the same pinned code, the hole's first token held to the freed bytes), laid out
as `next_token` trained it, and is sampled greedily. It fills one hole, takes no draft, and keeps nothing between
requests. Of its weights the self-conditioning ones are stored but never run, and not counted.

`is_peer(folder)` tells its exported folders from the engine's; `Peer.open(folder, ...)` takes what `Engine.open`
takes. Not thread-safe.
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
"""The special token that closes what is given."""

PEER_FILE = "peer.json"
"""Stands beside the weights of a peer, and of nothing else."""


def is_peer(folder: str | Path) -> bool:
    """Whether `folder` holds an exported peer, to be opened with `Peer.open` and not with `Engine.open`."""
    return (Path(folder) / PEER_FILE).is_file()


def mark_as_peer(folder: Path) -> None:
    """Say that the checkpoint in `folder` is one."""
    told = {"sampling": "greedy", "fill_in_the_middle": "prefix-suffix-middle"}
    (folder / PEER_FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Markers:
    """The ids of the special tokens that a sequence is made with."""

    above: int
    below: int
    middle: int
    end: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Markers:
        return cls(tokenizer.id_of(ABOVE), tokenizer.id_of(BELOW), tokenizer.id_of(END), tokenizer.pad_id)

    def given(self, prompt: Sequence[int], before: Sequence[int], after: Sequence[int]) -> list[int]:
        """All that stands before the hole's text: from a prompt in the `raw` format, and the canvas around the hole."""
        below, above = self._parts(prompt)
        return [self.above, *above, *before, self.below, *after, *below, self.middle]

    def plain(self, prompt: Sequence[int], text: Sequence[int]) -> list[int]:
        """Code in one piece: what stands above a canvas, and the canvas' text."""
        return [self.above, *self._parts(prompt)[1], *text]

    def _parts(self, prompt: Sequence[int]) -> tuple[list[int], list[int]]:
        """The ids (below, above) of a prompt in the `raw` format."""
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
        """Load an exported peer. Raises the errors of `errors`; `EngineError` if `folder` holds none."""
        if not is_peer(folder):
            raise EngineError(f"{folder} holds no autoregressive peer: there is no {PEER_FILE} in it")
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(load(folder, device, dtype).with_profile(overrides))

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        """Fill the request's one hole: a `Step` for each forward pass (a token each), then one `Infill`.

        The first pass reads all that is given. Raises `EngineError` for a request with several holes.
        """
        if self._loaded is None:
            raise EngineClosed("the peer is closed; open it again")
        seconds = request.limits.deadline_ms
        deadline = Deadline(None if seconds is None else seconds / 1000, self._clock)
        canvas = lay_out(request.segments, self._tokenizer, self.profile, Pad().positions)
        if len(canvas.holes) != 1:
            raise EngineError(f"an autoregressive peer fills one hole, not {len(canvas.holes)}")
        yield from self._infill(self._loaded, request, canvas, deadline, cancel or CancelToken())

    @torch.inference_mode()
    def _infill(
        self, loaded: LoadedModel, request: InfillRequest, canvas: Canvas, deadline: Deadline, cancel: CancelToken
    ) -> Iterator[Step | Infill]:
        began, prefilled = self._clock(), 0.0
        [span] = canvas.holes
        around = canvas.ids.tolist()
        given = self._markers.given(self._prompt.encode(request.context), around[: span.start], around[span.end :])
        coming, causal = given, loaded.family.causal(loaded.model)
        most = min(len(span), request.limits.max_steps or len(span))
        ids: list[int] = []
        chances: list[float] = []
        nats: list[float] = []
        finish: Finish | None = None
        while finish is None:
            if cancel.cancelled:
                raise Cancelled("the request was cancelled")
            started = deadline.now()
            row = self._held(causal.read(coming), len(ids), canvas)
            probabilities = row.softmax(-1)
            token = int(row.argmax())
            ids.append(token)
            chances.append(float(probabilities[token]))
            nats.append(float(entropy(probabilities[None])))
            coming, prefilled = [token], prefilled or self._clock()
            fill = read(span, ids, self._tokenizer)
            stopped = fill.text != read(replace(span, stop=None), ids, self._tokenizer).text
            if stopped or token == self._markers.end:
                finish = "stable"
            elif len(ids) == most:
                finish = "steps"
            elif deadline.strikes_within(deadline.now() - started):
                finish = "deadline"
            pieces = tuple(map(Piece, fill.pieces, chances, nats))
            probability = math.prod(chances[: max(1, len(pieces))])  # as `Reader.answers` says it of a denoiser
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
        """Let go of the model's memory; closing twice is fine."""
        self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _held(self, row: Tensor, index: int, canvas: Canvas) -> Tensor:
        """`row` [V] of the hole's token `index`, with minus infinity for what may not stand there."""
        [span] = canvas.holes
        prefix = span.freed if index == 0 else b""
        row[self._vocabulary.banned(index >= span.min_tokens, prefix)] = -math.inf
        return row
