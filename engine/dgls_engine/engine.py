"""The open model: `open` once, `infill` many times, `close`.

    request -> prompt -> encoder (keys and values kept) -> canvas -> denoise -> Step, Step, ..., Infill

Turns requests into tokens and steps into text; everything in between lives in the modules it puts together. Not
thread-safe: one thread opens an engine and makes all calls (`worker` is such a thread). All that outlives a
request are the last prompt's tokens, keys and values, and those are right after every request, a cancelled one too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import torch

from dgls_engine.device import pick_device, reclaim, release, translate_memory_errors
from dgls_engine.errors import Cancelled, EngineClosed, NotEnoughMemory, RequestTooLarge
from dgls_engine.loop.constraint import Constraint, Vocabulary
from dgls_engine.loop.contest import Contest, Lead
from dgls_engine.loop.doubt import doubts
from dgls_engine.loop.noise import noise_of
from dgls_engine.loop.seam import AFTER
from dgls_engine.loop.stopping import Deadline, Schedule, deadline_of, schedule_of
from dgls_engine.loop.turns import Turn, next_turn
from dgls_engine.model.family import OpenModel
from dgls_engine.model.passes import Passes
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.prompt.prefill import Reading
from dgls_engine.text.canvas import Canvas, lay_out, lead_in
from dgls_engine.text.length import length_policy
from dgls_engine.text.reader import Reader
from dgls_engine.text.redraft import Redraft, keeps, sketch
from dgls_engine.types import (
    CancelToken,
    Context,
    Fill,
    Hole,
    Infill,
    InfillRequest,
    Loading,
    Segment,
    Step,
    Timings,
    Trial,
)
from dgls_engine.warming import first_request, usual_shapes
from dgls_engine.weights.loader import LoadedModel, load


class Engine:
    """An open model. `clock` gives seconds; deadlines and timings are read from it. `captured`: whether passes over
    canvases are captured; None: where our kernels run. With a `prefill_ms` prompts are as long as can be
    read in that time; what they hold then depends on the machine.

    Where memory runs out, a request fails, and prompts are shorter from then on: `profile` and `info` say how long."""

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
        self._noise = noise_of(self._model, loaded.profile, loaded.device)

    @classmethod
    def open(
        cls,
        model: str | Path = "embedded",
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        overrides: Mapping[str, Any] = MappingProxyType({}),
        on_loading: Loading | None = None,
        prefill_ms: float | None = None,
    ) -> Engine:
        """Load a model: "embedded", a local folder, or a hub name from the local cache.

        `threads` is the number of CPU threads that torch computes with, in the whole process; None leaves it as it
        is. `overrides` stand in for fields of the model's profile. `on_loading` is told how far it is.
        Raises the errors of `errors`, and `EngineError` for overrides that make no profile.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        where, loaded = pick_device(device), None
        try:
            loaded = load(model, device, dtype, on_loading).with_profile(overrides)
            with translate_memory_errors(where):
                return cls(loaded, prefill_ms=prefill_ms)
        except Exception as error:
            loaded = None  # or what was loaded by then would stay as long as the error is kept
            reclaim(where, error)
            raise

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        """Fill the request's holes: a `Step` for each denoising step, then one `Infill`.

        Nothing happens before the first `next`. Raises `RequestTooLarge`, `EngineError` for limits that make no
        sense, `EngineClosed`, `NotEnoughMemory`, and `Cancelled` at most one denoising step after `cancel` is set.
        """
        deadline = deadline_of(request.limits, self._clock)
        schedule = schedule_of(request.limits, self.profile)
        loaded = self._open()
        if self._reading.adjust():
            self._follow()
        try:
            with translate_memory_errors(loaded.device):
                yield from self._infill(request, deadline, schedule, cancel or CancelToken())
        except NotEnoughMemory as error:
            raise self._relieved(loaded, error) from None

    def _infill(
        self, request: InfillRequest, deadline: Deadline, schedule: Schedule, cancel: CancelToken
    ) -> Iterator[Step | Infill]:
        started, prefill = self._clock(), _Prefill()
        context, segments = request.context, request.segments
        if self._model.shifted:
            context, segments = lead_in(context, segments)

        def behind_prompt(canvas: Canvas) -> Passes[Any]:
            return self._passes(context, canvas, prefill, cancel)

        redraft = self._redraft(segments, behind_prompt, request.seed, cancel)
        calibration = self.profile.calibration
        filled: dict[int, Fill] = {}
        steps, passes = 0, redraft.passes
        while True:
            texts = {number: fill.text for number, fill in filled.items()}
            turn = next_turn(redraft.segments, texts, self._length)
            canvases = self._lay_out(turn)
            readers = [Reader(canvas.holes, self._tokenizer) for canvas in canvases]
            contest = self._contest(behind_prompt(canvases[0]), canvases, readers, turn.contested, request.seed)
            lead: Lead | None = None
            for lead in contest.run(schedule, deadline, cancel):
                progress, entropies = lead.progress, lead.progress.entropies
                reader = readers[progress.candidate]
                fills = reader.answers(progress.draft, progress.sureness, entropies, calibration)
                now = filled | dict(zip(turn.holes, fills, strict=True))
                yield Step(steps + lead.index, redraft.fold(now, calibration), sum(entropies) / len(entropies))
            assert lead is not None
            assert lead.finish is not None
            if cancel.cancelled:
                raise Cancelled("the request was cancelled")
            steps, passes = steps + lead.index, passes + lead.passes
            contested = turn.holes[turn.contested]
            now[contested] = replace(now[contested], trials=_trials(lead, readers, turn.contested))
            settled = turn.holes if lead.finish == "deadline" else turn.settles
            filled |= {number: now[number] for number in settled}
            if len(filled) == redraft.holes:
                break
        yield Infill(
            fills=redraft.fold(filled, calibration),
            steps=steps,
            finish=lead.finish,
            timings=Timings(prefill.seconds * 1000, (self._clock() - started - prefill.seconds) * 1000),
            prompt_tokens=prefill.tokens,
            prefilled_tokens=prefill.computed,
            canvas_tokens=len(canvases[lead.progress.candidate].ids),
            hole_tokens=len(lead.progress.draft),
            passes=passes,
        )

    def warm(self) -> Iterator[None]:
        """Make ready for what is asked most, a part at each `next`: kernels are compiled, decoder passes captured."""
        if self._loaded is None or not self._model.captures:
            return
        shapes = usual_shapes(self.profile, self._length, len(self._reading.canvas_end))
        if not self._reading.encoder.ids:
            for _ in self.infill(first_request()):
                pass
            self._reading.encoder.cache.crop(0)  # a cold prefill, however warm the engine
            yield
        for batch, tokens in shapes:
            if self._loaded is None:
                return
            self._model.prepare(self._reading.encoder.cache, batch, tokens)
            yield

    def count(self, text: str) -> int:
        """Tokens of a text by itself. May be called from any thread."""
        return len(self._tokenizer.encode(text))

    def close(self) -> None:
        """Let go of the model's memory. Further requests raise `EngineClosed`; closing twice is fine."""
        if self._loaded is None:
            return
        device = self._loaded.device
        self._loaded = None
        del self._model, self._reading, self._vocabulary, self._noise
        if device.type != "cpu":  # there it is given back at once, and looking for what is left takes its time
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
        """Say how long prompts are now."""
        self.profile = self._reading.profile
        self.info = replace(self.info, profile=self.profile)

    def _relieved(self, loaded: LoadedModel, error: NotEnoughMemory) -> NotEnoughMemory:
        """What to say of it, after all was let go of that can be made again."""
        self._model.forget()
        less = self._reading.drop()
        self._follow()
        reclaim(loaded.device, error)
        said = f". From now on the model is shown {self.profile.max_prompt_tokens} tokens of code at most"
        return NotEnoughMemory(f"{error}{said if less else ''}")

    def _passes(self, context: Context, canvas: Canvas, prefill: _Prefill, cancel: CancelToken) -> Passes[Any]:
        """Passes over canvases like this one, behind the request's prompt."""
        started = self._clock()
        tokens, computed = self._reading.read(context, canvas.spilled, cancel)
        prefill.add(tokens, computed, self._clock() - started)
        return self._model.behind(self._reading.encoder.cache)

    def _lay_out(self, turn: Turn) -> list[Canvas]:
        """The turn's canvases; of several lengths, those that fit."""
        laid_out, error = [], None
        for segments in turn.tries:
            try:
                ends = self._reading.canvas_end, self._reading.canvas_start
                canvas = lay_out(segments, self._tokenizer, self.profile, self._length.positions, *ends)
            except RequestTooLarge as too_large:
                error = too_large
                break  # the lengths ascend
            laid_out.append(canvas)
        if not laid_out:
            assert error is not None
            raise error
        return laid_out

    def _redraft(
        self,
        segments: Sequence[Segment],
        behind_prompt: Callable[[Canvas], Passes[Any]],
        seed: int,
        cancel: CancelToken,
    ) -> Redraft:
        """The segments, of which drafts to keep a part of are opened where the model doubts them."""
        if not any(isinstance(segment, Hole) and keeps(segment) for segment in segments):
            return Redraft.untouched(segments)
        ends = self._reading.canvas_end, self._reading.canvas_start
        drafts = sketch(segments, self._tokenizer, self.profile, self._length, *ends)
        passes = behind_prompt(drafts.canvas)
        if cancel.cancelled:
            raise Cancelled("the request was cancelled")
        noise = self._noise.hidden(len(drafts.canvas.ids), seed)
        nats = doubts(passes, drafts.canvas, drafts.positions, noise)
        return drafts.opened(nats, self._length)

    def _contest(
        self,
        passes: Passes[Any],
        canvases: Sequence[Canvas],
        readers: Sequence[Reader],
        contested: int,
        seed: int,
    ) -> Contest:
        candidates = [
            self._noise.candidate(
                canvas,
                Constraint.of(canvas, self._vocabulary, self._length.pads, self._length.stops),
                reader,
                _seed(seed, canvas, len(canvases)),
            )
            for canvas, reader in zip(canvases, readers, strict=True)
        ]
        hidden, bias = self._noise.hidden(AFTER, seed), self.profile.calibration.length_bias
        return Contest(passes, candidates, contested, hidden, bias, self._noise.choosing)


@dataclass(slots=True)
class _Prefill:
    """The prompt of one request: its tokens, how many of them were computed, and in how many seconds."""

    tokens: int = 0
    computed: int = 0
    seconds: float = 0.0

    def add(self, tokens: int, computed: int, seconds: float) -> None:
        self.tokens = tokens
        self.computed += computed
        self.seconds += seconds


def _trials(lead: Lead, readers: Sequence[Reader], hole: int) -> tuple[Trial, ...]:
    fills = [(readers[step.candidate].fills(step.draft)[hole], nats) for step, nats in lead.judged]
    return tuple(Trial(fill.text, fill.count, nats) for fill, nats in fills)


def _seed(seed: int, canvas: Canvas, rivals: int) -> int:
    """A random stream for each length, so that which other lengths are tried changes nothing for it."""
    own = 0 if rivals == 1 else 1_000_003 * sum(map(len, canvas.holes))
    return seed + own
