"""A model that a vLLM server runs, behind the interface of `engine.Engine`: `open` once, `infill` many times, `close`.

    request -> prompt -> canvases -> the server (several at once) -> text

Tokenizer, chat template and profile come from the model's local folder, which needs no weights; requests carry token
ids. Imports no torch. One thread opens an engine and makes all calls; its event loop runs only during a call. Nothing
outlives a request but idle connections. `open` succeeds without an answer of the server: each request asks a server
again that did not answer, or that refused the request before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

from dgls_engine.errors import EngineClosed, ServerUnfit, ServerUnreachable
from dgls_engine.loop.infilling import Layout, infilling
from dgls_engine.loop.judged_rows import AFTER
from dgls_engine.loop.leads import Lead
from dgls_engine.loop.stopping import deadline_of, schedule_of
from dgls_engine.model_files import read_json
from dgls_engine.profile import Health, ModelInfo, Profile
from dgls_engine.prompt.formats import open_prompt
from dgls_engine.remote import judging
from dgls_engine.remote.address import Address, Credentials
from dgls_engine.remote.conversation import Asking, waited
from dgls_engine.remote.handshake import Served, greet
from dgls_engine.remote.rival import drawn, noise
from dgls_engine.remote.rivalry import Rivalry
from dgls_engine.remote.transport import Patience, Transport
from dgls_engine.text.canvas import Canvas
from dgls_engine.text.length import length_policy
from dgls_engine.text.reader import Reader
from dgls_engine.text.redraft import Sketch
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import CancelToken, Infill, InfillRequest, Step, Timings
from dgls_engine.weights.auto import resolved
from dgls_engine.weights.checkpoint import require_family
from dgls_engine.weights.hub import locate
from dgls_engine.weights.profiles import read_profile
from dgls_engine.weights.saved_calibration import own_calibration

T = TypeVar("T")


class _NothingInTime(Exception):
    """The deadline struck before the first answer. The server may well be there."""


class RemoteEngine:
    """`folder` holds the model's tokenizer, template and configuration; `name` is what people call it."""

    def __init__(self, address: Address, folder: Path, name: str, patience: Patience) -> None:
        started = time.perf_counter()
        self._address, self._patience = address, patience
        self._tokenizer = Tokenizer(folder / "tokenizer.json")
        profile = read_profile(folder)
        self._own = replace(profile, calibration=own_calibration(folder) or profile.calibration)
        self._prompt = open_prompt(self._tokenizer, self._own, folder)
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
    def open(cls, address: Address, model: str | Path = "auto", patience: Patience | None = None) -> RemoteEngine:
        """Read the model's folder and ask the server whether it can serve it. Raises the errors of `errors`;
        that the server can't be reached is none of them, but shows in `info`."""
        name = resolved(str(model))
        engine = cls(address, locate(name), name, patience or Patience())
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
        deadline = deadline_of(request.limits, time.monotonic)
        steps = min(schedule_of(request.limits, self.profile).max_steps, self.profile.max_steps)
        cancel, started = cancel or CancelToken(), time.monotonic()
        try:
            served = self._served or self._greet(cancel, deadline.end)
            ids = self._encode(request.context)
            asking = Asking(self._loop(), self._transport, served.model, ids, cancel, deadline.end)
            length = length_policy(self.profile.hole_policy)
            layout = Layout(self._tokenizer, self.profile, length, self._prompt.canvas_end)
            port = _Competition(asking, layout, self._vocabulary, steps, request.seed, started)
            for event in infilling(request.segments, layout, port):
                self._report("")  # now: whoever has the `Infill` need not ask for more
                yield event
        except _NothingInTime:
            self._report("not answering")
            raise ServerUnreachable(
                self._silence(f"gave nothing back within {request.limits.deadline_ms} ms")
            ) from None
        except (ServerUnreachable, ServerUnfit) as error:
            self._served = None
            self._report("refusing" if isinstance(error, ServerUnfit) else "not answering")
            raise

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
            self._report("not answering")
            if isinstance(error, ServerUnreachable):
                raise
            raise ServerUnreachable(self._silence("does not answer in time")) from None
        prompt = self._own.max_prompt_tokens
        if served.longest is not None:
            prompt = min(prompt, served.longest - self._own.canvas_tokens)
        self._adopt(replace(self._own, max_prompt_tokens=prompt))
        self.info = replace(self.info, device_name=f"vLLM {served.version}".strip())
        self._report("")
        return served

    def _adopt(self, profile: Profile) -> None:
        """Prompts as the server has room for."""
        self.info = replace(self.info, profile=profile)
        self._prompt = self._prompt.within(profile.max_prompt_tokens)
        self._encode = lru_cache(maxsize=1)(self._prompt.encode)

    def _report(self, health: Health) -> None:
        if health != self.info.health:
            self.info = replace(self.info, health=health)

    def _silence(self, said: str) -> str:
        """With why, where that is known: our tries were to go on for longer than there was time."""
        trouble = self._transport.trouble
        return f"{trouble}; it {said}" if trouble else f"the server at {self._address.host} {said}"


class _Competition:
    """`loop.infilling.Port` for one request to a server. The prompt goes along with each canvas."""

    def __init__(self, asking: Asking, layout: Layout, vocabulary: int, steps: int, seed: int, started: float) -> None:
        self._asking, self._layout, self._vocabulary = asking, layout, vocabulary
        self._steps, self._seed, self._started = steps, seed, started

    @property
    def prompt_tokens(self) -> int:
        return len(self._asking.prompt)

    @property
    def prefilled_tokens(self) -> int:
        return self._asking.computed

    def compete(self, canvases: Sequence[Canvas], readers: Sequence[Reader], hole: int) -> Iterator[Lead]:
        rivals = [drawn(canvas, self._seed, self._vocabulary, number) for number, canvas in enumerate(canvases)]
        behind = list(islice(noise(self._seed, self._vocabulary), AFTER))
        bias, whole = self._layout.profile.calibration.length_bias, not self._layout.length.stops and len(rivals) > 1
        lead: Lead | None = None
        for lead in Rivalry(self._asking, self._layout.tokenizer, rivals, hole, behind, bias, whole).run(self._steps):
            yield lead
        if lead is None:
            raise _NothingInTime

    def doubts(self, drafts: Sketch) -> list[float]:
        readings = judging.doubted(drafts.canvas, drafts.positions, noise(self._seed, self._vocabulary))
        told = self._asking.all([ask for reading in readings for ask in reading.asks(self._asking.prompt)])
        there = [answer for answer in told if answer is not None]
        if len(there) < len(readings):
            raise _NothingInTime
        nats: dict[int, float] = {}
        for reading, answer in zip(readings, there, strict=True):
            nats |= judging.doubts(reading, [answer])
        return [nats[position] for position in drafts.positions]

    def timings(self) -> Timings:
        return Timings(0.0, (time.monotonic() - self._started) * 1000)


def _vocabulary(folder: Path, tokenizer: Tokenizer) -> int:
    config = read_json(folder / "config.json")
    return require_family(config, folder).vocabulary(config) or tokenizer.size
