"""The open model: `open` once, `infill` many times, `close`.

    request -> prompt -> encoder (keys and values kept) -> canvas -> denoise -> Step, Step, ..., Infill

Turns requests into tokens and steps into text; everything in between lives in the modules it puts together. Not
thread-safe: one thread opens an engine and makes all calls (`engine.worker` is such a thread). All that outlives a
request are the last prompt's tokens, keys and values, and those are right after every request, a cancelled one too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import torch

from engine.canvas import Canvas, lay_out
from engine.constraint import Constraint, Vocabulary
from engine.decoder import Prompt
from engine.denoise import Candidate, Progress, denoise
from engine.device import told_of_exhaustion
from engine.encoder import Encoder
from engine.errors import Cancelled, EngineClosed, EngineError
from engine.fill import Reader
from engine.length import length_policy
from engine.loader import LoadedModel, load
from engine.profile import ModelInfo, Profile
from engine.prompt import open_prompt
from engine.sampler import Sampler, Schedule
from engine.stopping import Deadline, StableAndSure
from engine.types import CancelToken, Draft, Infill, InfillRequest, Limits, Piece, Step, Timings


class Engine:
    """An open model. `clock` gives seconds; deadlines and timings are read from it."""

    def __init__(self, loaded: LoadedModel, clock: Callable[[], float] = time.perf_counter) -> None:
        self.info: ModelInfo = loaded.info
        self.profile: Profile = loaded.profile
        self._loaded: LoadedModel | None = loaded
        self._clock = clock
        self._tokenizer = loaded.tokenizer
        self._length = length_policy(loaded.profile.hole_policy)
        self._prompt = open_prompt(loaded.tokenizer, loaded.profile, loaded.folder)
        # Typing inside the region leaves the context as it is, and tokenising one of 4,096 tokens took 37 ms (CPU).
        self._encode = lru_cache(maxsize=1)(self._prompt.encode)
        self._vocabulary = Vocabulary(loaded.tokenizer, loaded.model.model.decoder.vocab_size, loaded.device)
        self._encoder = Encoder(loaded.model)

    @classmethod
    def open(
        cls,
        model: str | Path = "embedded",
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        overrides: Mapping[str, Any] = MappingProxyType({}),
    ) -> Engine:
        """Load a model: "embedded", a local folder, or a hub name from the local cache.

        `threads` is the number of CPU threads that torch computes with, in the whole process; None leaves it as it
        is. `overrides` stand in for fields of the model's profile. Raises the errors of `engine.errors`, and
        `EngineError` for overrides that make no profile.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        loaded = load(model, device, dtype)
        try:
            profile = replace(loaded.profile, **overrides)
        except (TypeError, ValueError) as error:
            raise EngineError(f"these overrides make no profile: {error}") from None
        return cls(replace(loaded, profile=profile, info=replace(loaded.info, profile=profile)))

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        """Fill the request's holes: a `Step` for each denoising step, then one `Infill`.

        Nothing happens before the first `next`. Raises `RequestTooLarge`, `EngineError` for limits that make no
        sense, `EngineClosed`, `NotEnoughMemory`, and `Cancelled` at most one denoising step after `cancel` is set.
        """
        deadline = _deadline(request.limits, self._clock)
        schedule = _schedule(request.limits, self.profile)
        loaded = self._open()
        with told_of_exhaustion(loaded.device):
            yield from self._infill(loaded, request, deadline, schedule, cancel or CancelToken())

    def _infill(
        self, loaded: LoadedModel, request: InfillRequest, deadline: Deadline, schedule: Schedule, cancel: CancelToken
    ) -> Iterator[Step | Infill]:
        canvas = self._lay_out(request, loaded.device)

        started = self._clock()
        ids = self._encode(request.context)
        prefilled = self._encoder.prefill(ids, cancel)
        denoising = self._clock()

        profile, reader = self.profile, Reader(canvas.holes, self._tokenizer)
        generator = torch.Generator(loaded.device).manual_seed(request.seed % 2**63)
        progress: Progress | None = None
        candidate = Candidate(
            canvas,
            Sampler(self._vocabulary.size, profile.entropy_bound, generator),
            StableAndSure(profile.stability_threshold, profile.confidence_threshold, reader.counted),
            Constraint(canvas, self._vocabulary, self._length.pads).apply,
        )
        for (progress,) in denoise(
            loaded.model,
            Prompt(self._encoder.seen(), len(ids)),
            [candidate],
            schedule=schedule,
            deadline=deadline,
            cancel=cancel,
        ):
            yield _step(progress, reader)
        assert progress is not None
        assert progress.finish is not None
        if cancel.cancelled:
            raise Cancelled("the request was cancelled")
        fills = reader.fills(progress.draft)
        yield Infill(
            texts=tuple(fill.text for fill in fills),
            confidences=_confidences(progress, reader),
            steps=progress.index,
            finish=progress.finish,
            timings=Timings((denoising - started) * 1000, (self._clock() - denoising) * 1000),
            prompt_tokens=len(ids),
            prefilled_tokens=prefilled,
            canvas_tokens=len(canvas.ids),
            hole_tokens=len(progress.draft),
            pieces=_pieces(progress, reader),
        )

    def close(self) -> None:
        """Let go of the model's memory. Further requests raise `EngineClosed`; closing twice is fine."""
        if self._loaded is None:
            return
        on_cuda = self._loaded.device.type == "cuda"
        self._loaded = None
        del self._encoder, self._vocabulary
        if on_cuda:
            torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> LoadedModel:
        if self._loaded is None:
            raise EngineClosed("the engine is closed; open it again")
        return self._loaded

    def _lay_out(self, request: InfillRequest, device: torch.device) -> Canvas:
        closing = self._prompt.canvas_end
        canvas = lay_out(request.segments, self._tokenizer, self.profile, self._length.positions, closing)
        return replace(canvas, ids=canvas.ids.to(device), pinned=canvas.pinned.to(device))


def _deadline(limits: Limits, clock: Callable[[], float]) -> Deadline:
    if limits.deadline_ms is not None and limits.deadline_ms < 0:
        raise EngineError(f"a deadline is a number of milliseconds from now, not {limits.deadline_ms}")
    return Deadline(None if limits.deadline_ms is None else limits.deadline_ms / 1000, clock)


def _schedule(limits: Limits, profile: Profile) -> Schedule:
    steps = profile.max_steps if limits.max_steps is None else limits.max_steps
    if steps < 1:
        raise EngineError(f"denoising takes at least 1 step, not {steps}")
    return Schedule(steps, profile.t_min, profile.t_max)


def _step(progress: Progress, reader: Reader) -> Step:
    drafts = []
    for fill, rows in zip(reader.fills(progress.draft), reader.counted(progress.draft), strict=True):
        entropies = progress.entropies[rows.start : rows.start + len(fill.pieces)]
        drafts.append(Draft(fill.text, fill.pieces, tuple(entropies)))
    return Step(progress.index, tuple(drafts), sum(progress.entropies) / len(progress.entropies))


def _confidences(progress: Progress, reader: Reader) -> tuple[float, ...]:
    """A hole's confidence: the product of the probabilities that its text's tokens had at temperature 1.

    Not of the token that ends it, unless there is no other: several ends mean the same and share its probability.
    Measured on held-out holes: ranks the right fills before the wrong ones better than a mean or the least of them.
    """
    best = progress.logits.log_softmax(-1).amax(-1).tolist()
    sums = [
        sum(best[row] for row in rows[: max(1, len(fill.pieces))])
        for fill, rows in zip(reader.fills(progress.draft), reader.counted(progress.draft), strict=True)
    ]
    return tuple(torch.tensor(sums, dtype=torch.float64).exp().clamp(max=1.0).tolist())


def _pieces(progress: Progress, reader: Reader) -> tuple[tuple[Piece, ...], ...]:
    best = progress.logits.softmax(-1).amax(-1).tolist()
    return tuple(
        tuple(Piece(text, best[row]) for text, row in zip(fill.pieces, rows, strict=False))
        for fill, rows in zip(reader.fills(progress.draft), reader.counted(progress.draft), strict=True)
    )
