"""The open model: `open` once, `infill` many times, `close`.

    request -> prompt -> encoder (keys and values kept) -> canvas -> denoise -> Step, Step, ..., Infill

Combines the prompt, the loop and a family's model. Not thread-safe: one thread opens an engine and makes all calls
(`worker` runs such a thread). Between requests it keeps only the last prompt's tokens, keys and values. These stay
valid even after a cancelled request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import torch

from dgls_engine.device import pick_device, reclaim, release, translate_memory_errors, trim
from dgls_engine.errors import Cancelled, EngineClosed, EngineError, NotEnoughMemory, reason_of
from dgls_engine.loop.constraint import Constraint, Vocabulary
from dgls_engine.loop.contest import Contest
from dgls_engine.loop.doubt import doubts
from dgls_engine.loop.infilling import Layout, infilling
from dgls_engine.loop.leads import Lead
from dgls_engine.loop.noise import noise_of
from dgls_engine.loop.scoring import both_sides, score_of, shared
from dgls_engine.loop.stopping import Deadline, Schedule, deadline_of, schedule_of
from dgls_engine.model.family import OpenModel
from dgls_engine.model.passes import Passes
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.prompt.prefill import Reading
from dgls_engine.text.canvas import Canvas, lead_in
from dgls_engine.text.length import length_policy
from dgls_engine.text.reader import Reader
from dgls_engine.text.redraft import Sketch
from dgls_engine.types import CancelToken, Infill, InfillRequest, Loading, Score, ScoreRequest, Step, Timings
from dgls_engine.warming import first_request, usual_shapes
from dgls_engine.weights.loader import LoadedModel, load
from dgls_engine.weights.repair import repair_advice

logger = logging.getLogger(__name__)


class Engine:
    """An open model. `clock` gives seconds for deadlines and timings. `captured`: whether to capture passes over
    canvases; None captures them if the Triton kernels run on the device. `prefill_ms` limits prompts to what the
    machine reads in that time.

    If memory runs out, the request fails, and later prompts are shorter: `profile` and `info` have the new limit."""

    def __init__(
        self,
        loaded: LoadedModel,
        clock: Callable[[], float] = time.perf_counter,
        captured: bool | None = None,
        prefill_ms: float | None = None,
    ) -> None:
        self.info: ModelInfo = loaded.info
        self.profile: Profile = loaded.profile
        self._loaded: LoadedModel | None = loaded
        self._clock = clock
        self._tokenizer = loaded.tokenizer
        self._length = length_policy(loaded.profile.hole_policy)
        specials = loaded.tokenizer.specials
        self._model: OpenModel[Any] = loaded.family.open(loaded.model, loaded.profile, specials, captured)
        self._reading = Reading(loaded, self._model, clock, prefill_ms)
        self._vocabulary = Vocabulary(loaded.tokenizer, self._model.vocabulary, loaded.device)
        self._noise = noise_of(self._model, loaded.profile, loaded.tokenizer, loaded.device)
        self._tried = False

    @classmethod
    def open(
        cls,
        model: str | Path = "auto",
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        overrides: Mapping[str, Any] = MappingProxyType({}),
        on_loading: Loading | None = None,
        prefill_ms: float | None = None,
    ) -> Engine:
        """Load a model: "auto", "small", "embedded", a local folder, or a hub name from the local cache.

        `threads` sets torch's number of CPU threads for the whole process, unless it is None. `overrides` replace
        fields of the model's profile. `on_loading` receives the progress. Raises the errors of `errors`, and
        `EngineError` if the profile with the overrides is not valid.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        where, loaded = pick_device(device), None
        try:
            with (
                _explained(f"the model {model} cannot be opened"),
                repair_advice(str(model)),
                translate_memory_errors(where),
            ):
                loaded = load(model, device, dtype, on_loading).with_profile(overrides)
                return cls(loaded, prefill_ms=prefill_ms)
        except Exception as error:
            loaded = None  # the error may be kept; it must not keep the loaded tensors
            reclaim(where, error)
            raise

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        """Fill the request's holes: a `Step` for each denoising step, then one `Infill`.

        Nothing happens before the first `next`. Raises `RequestTooLarge`, `EngineError` for invalid limits,
        `EngineClosed`, `NotEnoughMemory`, and `Cancelled` at most one denoising step after `cancel` is set.
        """
        deadline = deadline_of(request.limits, self._clock)
        schedule = schedule_of(request.limits, self.profile)
        loaded = self._open()
        if self._reading.adjust():
            self._follow()
        try:
            with translate_memory_errors(loaded.device):
                port = _Competition(self, request, deadline, schedule, cancel or CancelToken())
                yield from infilling(port.segments, port.layout, port)
        except NotEnoughMemory as error:
            raise self._relieved(loaded, error) from None

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> list[Score]:
        """How much each of the request's texts surprises the model. The text with the lowest sum fits best.

        Raises the errors of `infill`.
        """
        loaded = self._open()
        try:
            with translate_memory_errors(loaded.device):
                return self._scores(request, cancel or CancelToken())
        except NotEnoughMemory as error:
            raise self._relieved(loaded, error) from None

    def _scores(self, request: ScoreRequest, cancel: CancelToken) -> list[Score]:
        reading, tokenizer = self._reading, self._tokenizer
        if self.profile.continues:
            texts = shared(request, tokenizer, reading.canvas_start, self.profile.max_prompt_tokens)
            reading.scored.prefill(texts.prompt, cancel)
            if cancel.cancelled:
                raise Cancelled
            return texts.scores(self._model.passes_after(reading.scored.cache), tokenizer)
        layout = Layout(tokenizer, self.profile, self._length, reading.canvas_end, reading.canvas_start)
        found = []
        for text in request.texts:
            sketch = both_sides(request, text, layout)
            reading.read(request.context, sketch.canvas.spilled, cancel)
            if cancel.cancelled:
                raise Cancelled
            noise = self._noise.hidden(len(sketch.canvas.ids), 0)
            found.append(score_of(sketch, self._model.passes_after(reading.encoder.cache), noise, tokenizer))
        return found

    def try_out(self) -> None:
        """Fill a tiny hole. Raises an `EngineError` that says why the model cannot fill one."""
        with _explained(f"the model {self.info.name} loads, but cannot fill a hole"):
            for _ in self.infill(first_request()):
                pass
        self._reading.encoder.cache.crop(0)  # the first request prefills as in a cold engine
        self._tried = True

    def warm(self) -> Iterator[None]:
        """Compile kernels and capture passes for the most frequent requests, one part at each `next`."""
        if self._loaded is None or not self._model.captures:
            return
        shapes = usual_shapes(self.profile, self._length, len(self._reading.canvas_end))
        if not (self._tried or self._reading.encoder.ids):
            self.try_out()
            yield
        for batch, tokens in shapes:
            if self._loaded is None:
                return
            self._model.prepare(self._reading.encoder.cache, batch, tokens)
            yield

    def count(self, text: str) -> int:
        """The number of tokens in `text`. Any thread may call it."""
        return len(self._tokenizer.encode(text))

    def close(self) -> None:
        """Free the model's memory. Later requests raise `EngineClosed`. A second call does nothing."""
        if self._loaded is None:
            return
        device = self._loaded.device
        self._loaded = None
        del self._model, self._reading, self._vocabulary, self._noise
        if device.type == "cpu":
            trim()  # tensors are freed at once; the search for reference cycles takes time
        else:
            release(device)

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

    def _follow(self) -> None:
        """Copy the current limit of prompts to `profile` and `info`."""
        self.profile = self._reading.profile
        self.info = replace(self.info, profile=self.profile)

    def _relieved(self, loaded: LoadedModel, error: NotEnoughMemory) -> NotEnoughMemory:
        """Free all memory that can be filled again and shorten prompts. Returns the error to raise."""
        self._model.forget()
        less = self._reading.drop()
        self._follow()
        reclaim(loaded.device, error)
        said = f". From now on the model is shown {self.profile.max_prompt_tokens} tokens of code at most"
        return NotEnoughMemory(f"{error}{said if less else ''}")


class _Competition:
    """`loop.infilling.Port` for one request to an open model. Each turn reads the prompt again, because it may
    contain the text that the turn's canvases have no room for."""

    def __init__(
        self, engine: Engine, request: InfillRequest, deadline: Deadline, schedule: Schedule, cancel: CancelToken
    ) -> None:
        self._engine, self._seed = engine, request.seed
        self._deadline, self._schedule, self._cancel = deadline, schedule, cancel
        self._context, self.segments = request.context, tuple(map(engine._noise.started, request.segments))
        if engine._model.shifted:
            self._context, self.segments = lead_in(self._context, self.segments)
        reading = engine._reading
        ends = reading.canvas_end, reading.canvas_start
        self.layout = Layout(engine._tokenizer, engine.profile, engine._length, *ends)
        self._started = engine._clock()
        self._prefill_seconds = 0.0
        self.prompt_tokens, self.prefilled_tokens = 0, 0

    def compete(self, canvases: Sequence[Canvas], readers: Sequence[Reader], hole: int) -> Iterator[Lead]:
        noise, bias = self._engine._noise, self._engine.profile.calibration.length_bias
        length, vocabulary = self._engine._length, self._engine._vocabulary
        passes = self._behind_prompt(canvases[0])
        prompt = self._engine._reading.encoder.ids
        rivals = [
            noise.rival(
                canvas,
                Constraint.of(canvas, vocabulary, length.pads, length.stops),
                reader,
                _seed(self._seed, canvas, len(canvases)) + number,
                differs=hole if canvas in canvases[:number] else None,
                prompt=prompt,
            )
            for number, (canvas, reader) in enumerate(zip(canvases, readers, strict=True))
        ]
        contest = Contest(passes, rivals, hole, noise.judge(self._seed, canvases[0].holes[hole]), bias, noise.choosing)
        yield from contest.run(self._schedule, self._deadline, self._cancel)
        if self._cancel.cancelled:
            raise Cancelled

    def doubts(self, drafts: Sketch) -> list[float]:
        passes = self._behind_prompt(drafts.canvas)
        if self._cancel.cancelled:
            raise Cancelled
        noise = self._engine._noise.hidden(len(drafts.canvas.ids), self._seed)
        return doubts(passes, drafts.canvas, drafts.positions, noise)

    def timings(self) -> Timings:
        denoising = self._engine._clock() - self._started - self._prefill_seconds
        return Timings(self._prefill_seconds * 1000, denoising * 1000)

    def _behind_prompt(self, canvas: Canvas) -> Passes[Any]:
        """Prefill the prompt of `canvas`, and return passes over canvases behind it."""
        started, reading = self._engine._clock(), self._engine._reading
        self.prompt_tokens, computed = reading.read(self._context, canvas.spilled, self._cancel)
        self.prefilled_tokens += computed
        self._prefill_seconds += self._engine._clock() - started
        return self._engine._model.passes_after(reading.encoder.cache)


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    """Raises an `EngineError` in place of any other exception. A model's files and other versions of libraries can
    raise every kind."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        logger.debug("%s", problem, exc_info=True)
        raise EngineError(
            f"{problem} ({reason_of(error)}); `dgls doctor` lists the versions of its libraries; update dgls, or take "
            "another model"
        ) from error


def _seed(seed: int, canvas: Canvas, competing: int) -> int:
    """The seed of one length. It depends on that length only, so other lengths in the contest do not change its
    result."""
    own = 0 if competing == 1 else 1_000_003 * sum(map(len, canvas.holes))
    return seed + own
