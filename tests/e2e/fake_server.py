"""The real server with a scripted engine in place of the model: `python -P fake_server.py SCRIPT [--tcp PORT]`.

SCRIPT is JSON, see `Script`. A `journal` records what reached the engine, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgls.server.features import lifecycle
from dgls.server.host import alone
from dgls.server.lsp_server import serve
from dgls.server.settings import Settings
from dgls_engine.calibration import Calibration
from dgls_engine.errors import Cancelled, EngineError, ModelNotFound, NotEnoughMemory
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.sharing.identity import Identity
from dgls_engine.sharing.sharing import Sharing
from dgls_engine.types import (
    Blank,
    CancelToken,
    Fill,
    Hole,
    Infill,
    InfillRequest,
    Loading,
    Piece,
    Pinned,
    Score,
    ScoreRequest,
    Step,
    Timings,
)
from dgls_engine.weights import small
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.worker import EngineLike, Worker


@dataclass(frozen=True)
class Script:
    """The fill of hole h for seed n is `texts[(n + h) % len(texts)]`; a `gate` file holds the load until it exists;
    `loads` are the percents told before.

    `doubted` is a token of the fill that the model is not sure of; `calibration` are values of the model's own. A hole
    with a draft is filled with that, with what `corrected` says put right. `instructed` models take instructions.
    `exhausted` are how many requests run out of memory, the first ones. `pull_fails` is why the small model cannot be
    fetched; without it a pull leaves an empty model behind. Servers with the same folder `shared` share one engine.
    Of texts to score, the last one surprises less by `gain`.
    """

    texts: list[str] = field(default_factory=lambda: ["filled"])
    confidence: float = 0.9
    doubted: str = ""
    corrected: dict[str, str] = field(default_factory=dict)
    instructed: bool = False
    calibration: dict[str, object] = field(default_factory=lambda: {"points": [[0.0, 0.0], [1.0, 1.0]]})
    steps: int = 2
    step_ms: float = 1.0
    gate: str = ""
    loads: list[int] = field(default_factory=list)
    fails: str = ""
    exhausted: int = 0
    pull_fails: str = ""
    chatty: bool = False
    gain: float = 20.0
    journal: str = ""
    shared: str = ""

    def note(self, **entry: object) -> None:
        if self.journal:
            with Path(self.journal).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(entry) + "\n")


class FakeEngine:
    """Runs step by step and reads the cancel token, as the real engine does."""

    def __init__(self, script: Script, settings: Settings) -> None:
        self._script, self._exhausted = script, script.exhausted
        self.info = ModelInfo(
            name=f"fake {settings.model}",
            parameters=1,
            weight_bytes=4,
            device="cpu",
            device_name="cpu",
            dtype="float32",
            load_ms=0.0,
            profile=Profile(
                *("chat" if script.instructed else "raw", "pad", 256),
                max_prompt_tokens=256,
                before_tokens=96,
                after_tokens=64,
                calibration=Calibration.from_json(script.calibration),
            ),
        )

    def warm(self) -> Iterator[None]:
        yield from ()

    def count(self, text: str) -> int:
        return -(-len(text) // 3)

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        script = self._script
        script.note(
            event="infill",
            seed=request.seed,
            path=request.context.path,
            segments=_shown(request),
            snippets=[snippet.text for snippet in request.context.snippets],
            current=request.context.current,
            instruction=request.context.instruction,
        )
        if self._exhausted:
            self._exhausted -= 1
            raise NotEnoughMemory("a GPU ran out of memory. The prompt is shorter from now on")
        holes = [segment for segment in request.segments if isinstance(segment, Hole)]
        texts = [self._text(hole, request.seed + number) for number, hole in enumerate(holes)]
        if script.chatty:
            print("a stray print")
            os.system("echo a stray child")
            os.write(1, b"a stray write\n")
        for index in range(1, script.steps + 1):
            time.sleep(script.step_ms / 1000)
            if cancel is not None and cancel.cancelled:
                script.note(event="cancelled", step=index)
                raise Cancelled("cancelled")
            yield Step(index, tuple(Fill(text, (Piece(text, 1.0, 0.1),), None, 1.0) for text in texts), 0.1)
        script.note(event="done", seed=request.seed)
        confidence = self.info.profile.calibration.confidence(script.confidence)
        fills = tuple(Fill(text, self._pieces(text), confidence, script.confidence) for text in texts)
        yield Infill(fills, script.steps, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> list[Score]:
        script = self._script
        script.note(event="scores", texts=list(request.texts), above=request.context.above, before=request.before)
        for _ in range(script.steps):
            time.sleep(script.step_ms / 1000)
            if cancel is not None and cancel.cancelled:
                script.note(event="cancelled")
                raise Cancelled("cancelled")
        surprises = [*[30.0] * (len(request.texts) - 1), 30.0 - script.gain]
        return [Score(("t",), (each,)) for each in surprises]

    def _text(self, hole: Hole, number: int) -> str:
        if isinstance(hole.start, Blank):
            return self._script.texts[number % len(self._script.texts)]
        text = hole.start.text
        for wrong, right in self._script.corrected.items():
            text = text.replace(wrong, right)
        return text

    def _pieces(self, text: str) -> tuple[Piece, ...]:
        doubted = self._script.doubted
        parts = text.partition(doubted) if doubted else (text,)
        return tuple(Piece(part, 0.0 if part == doubted else 1.0) for part in parts)

    def close(self) -> None:
        self._script.note(event="closed")


def _shown(request: InfillRequest) -> list[object]:
    def show(segment: Pinned | Hole) -> object:
        if isinstance(segment, Pinned):
            return segment.text
        start = segment.start
        drafted = {} if isinstance(start, Blank) else {"draft": start.text, "strength": getattr(start, "strength", 1.0)}
        return {"max": segment.max_tokens, "stop": segment.stop, **drafted}

    return [show(segment) for segment in request.segments]


def main(script: Script, port: int | None = None) -> int:
    """Serves over stdio, or on a TCP port."""
    lifecycle.WATCH_SECONDS = 0.1

    def open_engine(settings: Settings, on_loading: Loading) -> EngineLike:
        script.note(event="open", model=settings.model, torch="torch" in sys.modules)
        for percent in script.loads:
            on_loading(percent, 100)
        while script.gate and not Path(script.gate).exists():
            time.sleep(0.005)
        if script.fails:
            raise ModelNotFound(script.fails)
        return FakeEngine(script, settings)

    def pull_small(confirm: Callable[[], bool]) -> Path:
        assert confirm()
        script.note(event="pull")
        if script.pull_fails:
            raise EngineError(script.pull_fails)
        folder = small._target()
        folder.mkdir(parents=True)
        for name in small._MODEL_FILES:
            (folder / name).touch()
        return folder

    def share(settings: Settings, load: Callable[[Loading], EngineLike], on_loading: Loading, worker: Worker) -> Any:
        identity = Identity("fake", embedded_folder(), "model", 2**40)
        return Sharing(identity, lambda: Path(script.shared)).open(load, on_loading, worker)

    small.pull_small = pull_small
    return serve(port, open_engine, share if script.shared else alone)


if __name__ == "__main__":
    sys.exit(main(Script(**json.loads(sys.argv[1])), int(sys.argv[3]) if "--tcp" in sys.argv else None))
