"""A model that a vLLM server runs, behind the interface of `engine.Engine`: `open` once, `infill` many times, `close`.

    request -> prompt -> canvases -> the server (several at once) -> text

Tokenizer, chat template and profile are read from the model's folder here, which needs no weights; requests carry
token ids. One thread opens it and makes all calls; an event loop that runs only during a call belongs to it. Nothing
outlives a request but idle connections. A server that does not answer is no reason not to open: it is asked again at
each request, as is one that came to refuse what it took before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

from dgls_engine.errors import EngineClosed, EngineError, RequestTooLarge, ServerUnfit, ServerUnreachable
from dgls_engine.loop.seam import AFTER
from dgls_engine.loop.turns import Turn, next_turn
from dgls_engine.profile import ModelInfo, Profile, read_json
from dgls_engine.prompt.formats import open_prompt
from dgls_engine.remote import judging as reading
from dgls_engine.remote.address import Address, Credentials
from dgls_engine.remote.conversation import Asking, waited
from dgls_engine.remote.handshake import Served, greet
from dgls_engine.remote.rival import drawn, noise
from dgls_engine.remote.rivalry import Lead, Rivalry
from dgls_engine.remote.transport import Patience, Transport
from dgls_engine.text.canvas import Canvas, lay_out
from dgls_engine.text.length import length_policy
from dgls_engine.text.reader import Reader
from dgls_engine.text.redraft import Redraft, keeps, sketch
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import CancelToken, Fill, Hole, Infill, InfillRequest, Step, Timings, Trial
from dgls_engine.weights.checkpoint import require_family
from dgls_engine.weights.hub import locate
from dgls_engine.weights.profiles import read_profile
from dgls_engine.weights.saved_calibration import own_calibration

T = TypeVar("T")


class _Late(ServerUnreachable):
    """Not in time for this request. The server may well be there."""


class RemoteEngine:
    """`folder` holds the model's tokenizer, template and configuration; `name` is what people call it."""

    def __init__(self, address: Address, folder: Path, name: str, patience: Patience) -> None:
        started = time.perf_counter()
        self._address, self._folder, self._patience = address, folder, patience
        self._tokenizer = Tokenizer(folder / "tokenizer.json")
        profile = read_profile(folder)
        self._own = replace(profile, calibration=own_calibration(folder) or profile.calibration)
        self._vocabulary = _vocabulary(folder, self._tokenizer)
        self._served: Served | None = None
        self._runner: asyncio.Runner | None = asyncio.Runner()
        self._transport = Transport(address, Credentials(address), patience)
        self.info = ModelInfo(
            name=name,
            parameters=0,
            weight_bytes=0,
            device=f"vLLM at {address.host}",
            device_name="a server",
            dtype="",
            load_ms=(time.perf_counter() - started) * 1000,
            profile=self._own,
        )
        self._adopt(self._own)

    @classmethod
    def open(cls, address: Address, model: str | Path = "embedded", patience: Patience | None = None) -> RemoteEngine:
        """Read the model's folder and ask the server whether it can serve it. Raises the errors of `errors`;
        that the server can't be reached is none of them, but shows in `info`."""
        engine = cls(address, locate(str(model)), str(model), patience or Patience())
        try:
            engine._greet(CancelToken(), time.monotonic() + engine._patience.absence)
        except ServerUnreachable:
            pass
        except BaseException:
            engine.close()
            raise
        return engine

    @property
    def profile(self) -> Profile:
        return self.info.profile

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        """Fill the request's holes: a `Step` for each draft that the server gave back, then one `Infill`.

        Nothing happens before the first `next`. Raises `Cancelled` when `cancel` is set, which ends the work on the
        server, too, and the other errors of `errors`.
        """
        limits, began = request.limits, time.monotonic()
        if limits.max_steps is not None and limits.max_steps < 1:
            raise EngineError(f"denoising takes at least 1 step, not {limits.max_steps}")
        if limits.deadline_ms is not None and limits.deadline_ms < 0:
            raise EngineError(f"a deadline is a number of milliseconds from now, not {limits.deadline_ms}")
        until = None if limits.deadline_ms is None else began + limits.deadline_ms / 1000
        cancel = cancel or CancelToken()
        try:
            served = self._served or self._greet(cancel, until)
            ids = self._encode(request.context)
            asking = Asking(self._loop(), self._transport, served.model, ids, cancel, until)
            for event in self._infill(request, asking, began):
                self._tell("")  # now: whoever has the `Infill` need not ask for more
                yield event
        except (ServerUnreachable, ServerUnfit) as error:
            if not isinstance(error, _Late):
                self._served = None
            self._tell("refusing" if isinstance(error, ServerUnfit) else "not answering")
            raise

    def _infill(self, request: InfillRequest, asking: Asking, began: float) -> Iterator[Infill | Step]:
        redraft = self._redraft(request, asking)
        steps = min(request.limits.max_steps or self.profile.max_steps, self.profile.max_steps)
        calibration = self.profile.calibration
        filled: dict[int, Fill] = {}
        taken, passes = 0, redraft.passes
        while True:
            texts = {number: fill.text for number, fill in filled.items()}
            turn = next_turn(redraft.segments, texts, length_policy(self.profile.hole_policy))
            lead: Lead | None = None
            for lead in self._rivalry(turn, asking, request.seed).run(steps):
                reader, logprobs = Reader(lead.found.rival.holes, self._tokenizer), lead.found.logprobs
                # A server tells no entropies. A token's surprise stands in for it.
                surprises = [-nats for nats in logprobs]
                fills = reader.answers(lead.found.draft, logprobs, surprises, calibration)
                now = filled | dict(zip(turn.holes, fills, strict=True))
                yield Step(taken + lead.steps, redraft.fold(now, calibration), sum(surprises) / len(surprises))
            if lead is None:
                raise self._late(request.limits.deadline_ms)
            assert lead.finish is not None
            taken, passes = taken + lead.steps, passes + lead.passes
            contested = turn.holes[turn.contested]
            now[contested] = replace(now[contested], trials=self._trials(lead, turn.contested))
            settled = turn.holes if lead.finish == "deadline" else turn.settles
            filled |= {number: now[number] for number in settled}
            if len(filled) == redraft.holes:
                break
        yield Infill(
            fills=redraft.fold(filled, calibration),
            steps=taken,
            finish=lead.finish,
            timings=Timings(0.0, (time.monotonic() - began) * 1000),
            prompt_tokens=len(asking.prompt),
            prefilled_tokens=asking.computed,
            canvas_tokens=len(lead.found.rival.ids),
            hole_tokens=len(lead.found.draft),
            passes=passes,
        )

    def warm(self) -> Iterator[None]:
        """Nothing: the server is warm, or not, for all of its users."""
        return iter(())

    def count(self, text: str) -> int:
        """Tokens of a text by itself. May be called from any thread, and on a closed engine."""
        return len(self._tokenizer.encode(text))

    def close(self) -> None:
        """Close the connections. Further requests raise `EngineClosed`; closing twice is fine."""
        if self._runner is not None:
            self._runner.run(self._transport.close())
            self._runner.close()
            self._runner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _loop(self) -> asyncio.Runner:
        if self._runner is None:
            raise EngineClosed("the engine is closed; open it again")
        return self._runner

    def _greet(self, cancel: CancelToken, until: float | None = None) -> Served:
        asked = greet(self._transport, self._address, self._tokenizer, self._own)
        try:
            self._served = served = waited(self._loop(), asked, cancel, until)
        except (ServerUnreachable, TimeoutError) as error:
            self._tell("not answering")
            if isinstance(error, ServerUnreachable):
                raise
            raise ServerUnreachable(self._silence("does not answer in time")) from None
        prompt = self._own.max_prompt_tokens
        if served.longest is not None:
            prompt = min(prompt, served.longest - self._own.canvas_tokens)
        self._adopt(replace(self._own, max_prompt_tokens=prompt))
        self.info = replace(self.info, device_name=f"vLLM {served.version}".strip())
        self._tell("")
        return served

    def _adopt(self, profile: Profile) -> None:
        """Prompts as the server has room for."""
        self.info = replace(self.info, profile=profile)
        self._prompt = open_prompt(self._tokenizer, profile, self._folder)
        self._encode = lru_cache(maxsize=1)(self._prompt.encode)

    def _tell(self, health: str) -> None:
        """What people see of the server's health, where a local model shows its device."""
        device = f"vLLM at {self._address.host}" + (f", {health}" if health else "")
        if device != self.info.device:
            self.info = replace(self.info, device=device)

    def _late(self, deadline_ms: int | None) -> _Late:
        return _Late(self._silence(f"gave nothing back within {deadline_ms} ms"))

    def _silence(self, said: str) -> str:
        """With why, where that is known: our tries were to go on for longer than there was time."""
        trouble = self._transport.trouble
        return f"{trouble}; it {said}" if trouble else f"the server at {self._address.host} {said}"

    def _rivalry(self, turn: Turn, asking: Asking, seed: int) -> Rivalry:
        rivals = [drawn(canvas, seed, self._vocabulary) for canvas in self._lay_out(turn)]
        behind = list(islice(noise(seed, self._vocabulary), AFTER))
        bias, whole = self.profile.calibration.length_bias, not length_policy(self.profile.hole_policy).stops
        return Rivalry(asking, self._tokenizer, rivals, turn.contested, behind, bias, whole and len(rivals) > 1)

    def _trials(self, lead: Lead, hole: int) -> tuple[Trial, ...]:
        """The lengths that were judged last."""
        fills = [
            (Reader(found.rival.holes, self._tokenizer).fills(found.draft)[hole], nats) for found, nats in lead.judged
        ]
        return tuple(Trial(fill.text, fill.count, nats) for fill, nats in fills)

    def _lay_out(self, turn: Turn) -> list[Canvas]:
        """The turn's canvases; of several lengths, those that fit."""
        laid_out: list[Canvas] = []
        positions = length_policy(self.profile.hole_policy).positions
        for segments in turn.tries:
            try:
                laid_out.append(lay_out(segments, self._tokenizer, self.profile, positions, self._prompt.canvas_end))
            except RequestTooLarge:
                if not laid_out:
                    raise
                break  # the lengths ascend
        return laid_out

    def _redraft(self, request: InfillRequest, asking: Asking) -> Redraft:
        """The request's segments, of which drafts to keep a part of are opened where the model doubts them."""
        if not any(isinstance(segment, Hole) and keeps(segment) for segment in request.segments):
            return Redraft.untouched(request.segments)
        length = length_policy(self.profile.hole_policy)
        drafts = sketch(request.segments, self._tokenizer, self.profile, length, self._prompt.canvas_end)
        readings = reading.doubted(drafts.canvas, drafts.positions, noise(request.seed, self._vocabulary))
        told = asking.all([ask for own in readings for ask in own.asks(asking.prompt)])
        there = [one for one in told if one is not None]
        if len(there) < len(readings):
            raise self._late(request.limits.deadline_ms)
        nats: dict[int, float] = {}
        for own, one in zip(readings, there, strict=True):
            nats |= reading.doubts(own, [one])
        return drafts.opened([nats[position] for position in drafts.positions], length)


def _vocabulary(folder: Path, tokenizer: Tokenizer) -> int:
    config = read_json(folder / "config.json")
    return require_family(config, folder).vocabulary(config) or tokenizer.size
