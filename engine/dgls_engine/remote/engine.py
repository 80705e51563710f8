"""A model that a vLLM server runs, behind the interface of `engine.Engine`: `open` once, `infill` many times, `close`.

    request -> prompt -> canvases -> the server (several at once) -> text

Tokenizer, chat template and profile come from the model's local folder, which needs no weights; requests carry token
ids. Imports no torch. `server_engine` says how it uses its thread and its connections.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from dgls_engine.loop.infilling import Layout, infilling
from dgls_engine.loop.judged_rows import AFTER
from dgls_engine.loop.leads import Lead
from dgls_engine.loop.stopping import schedule_of
from dgls_engine.model_files import read_json
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.prompt.formats import open_prompt
from dgls_engine.remote import judging
from dgls_engine.remote.address import Address
from dgls_engine.remote.conversation import Asking
from dgls_engine.remote.handshake import Served, greet
from dgls_engine.remote.rival import drawn, noise
from dgls_engine.remote.rivalry import Rivalry
from dgls_engine.remote.server_engine import NothingInTime, ServerEngine
from dgls_engine.remote.transport import Patience
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


class RemoteEngine(ServerEngine):
    """`folder` holds the model's tokenizer, template and configuration; `name` is what people call it."""

    def __init__(self, address: Address, folder: Path, name: str, patience: Patience) -> None:
        started = time.perf_counter()
        self._tokenizer = Tokenizer(folder / "tokenizer.json")
        profile = read_profile(folder)
        self._own = replace(profile, calibration=own_calibration(folder) or profile.calibration)
        self._prompt = open_prompt(self._tokenizer, self._own, folder)
        self._vocabulary = _vocabulary(folder, self._tokenizer)
        info = ModelInfo(
            name=name,
            parameters=0,
            weight_bytes=0,
            device=f"vLLM at {address.host}",
            device_name="a server",
            dtype="",
            load_ms=(time.perf_counter() - started) * 1000,
            profile=self._own,
        )
        super().__init__(address, patience, info)
        self._prompt_of(self._own)

    @classmethod
    def open(cls, address: Address, model: str | Path = "auto", patience: Patience | None = None) -> RemoteEngine:
        """Read the model's folder and ask the server whether it can serve it. Raises the errors of `errors`;
        that the server can't be reached is none of them, but shows in `info`."""
        name = resolved(str(model))
        return cls(address, locate(name), name, patience or Patience())._opened()

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    async def _greeting(self) -> Served:
        return await greet(self._transport, self._address, self._tokenizer, self._own)

    def _adopt(self, served: Served) -> None:
        prompt = self._own.max_prompt_tokens
        if served.longest is not None:
            prompt = min(prompt, served.longest - self._own.canvas_tokens)
        self._prompt_of(replace(self._own, max_prompt_tokens=prompt))
        self.info = replace(self.info, device_name=f"vLLM {served.version}".strip())

    def _prompt_of(self, profile: Profile) -> None:
        """Prompts as the server has room for."""
        self.info = replace(self.info, profile=profile)
        self._prompt = self._prompt.within(profile.max_prompt_tokens)
        self._encode = lru_cache(maxsize=1)(self._prompt.encode)

    def _filled(
        self, request: InfillRequest, served: Served, cancel: CancelToken, until: float | None
    ) -> Iterator[Step | Infill]:
        started = time.monotonic()
        steps = min(schedule_of(request.limits, self.profile).max_steps, self.profile.max_steps)
        asking = Asking(self._loop(), self._transport, served.model, self._encode(request.context), cancel, until)
        layout = Layout(self._tokenizer, self.profile, length_policy(self.profile.hole_policy), self._prompt.canvas_end)
        port = _Competition(asking, layout, self._vocabulary, steps, request.seed, started)
        return infilling(request.segments, layout, port)


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
            raise NothingInTime

    def doubts(self, drafts: Sketch) -> list[float]:
        readings = judging.doubted(drafts.canvas, drafts.positions, noise(self._seed, self._vocabulary))
        told = self._asking.all([ask for reading in readings for ask in reading.asks(self._asking.prompt)])
        there = [answer for answer in told if answer is not None]
        if len(there) < len(readings):
            raise NothingInTime
        nats: dict[int, float] = {}
        for reading, answer in zip(readings, there, strict=True):
            nats |= judging.doubts(reading, [answer])
        return [nats[position] for position in drafts.positions]

    def timings(self) -> Timings:
        return Timings(0.0, (time.monotonic() - self._started) * 1000)


def _vocabulary(folder: Path, tokenizer: Tokenizer) -> int:
    config = read_json(folder / "config.json")
    return require_family(config, folder).vocabulary(config) or tokenizer.size
