"""A process that shares a model as a window's server does: `python -P window.py FOLDER`, with `FOLDER/script.json`.

Reads requests from stdin, one JSON object a line, and answers each on stdout. Its engine is scripted, and only one at a
time may be "in memory", which is a lock of its own; a second one is noted in `FOLDER/second`.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgls_engine.errors import Cancelled, NotEnoughMemory
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.sharing.identity import Identity
from dgls_engine.sharing.patience import Patience
from dgls_engine.sharing.sharing import Sharing
from dgls_engine.types import (
    CancelToken,
    Context,
    Fill,
    Hole,
    Infill,
    InfillRequest,
    Limits,
    Loading,
    Piece,
    Pinned,
    Step,
    Timings,
)
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.worker import EngineLike, Worker

PROFILE = Profile("raw", "pad", 64, max_prompt_tokens=128, before_tokens=24, after_tokens=16)


@dataclass(frozen=True)
class Script:
    """What the engine does. `fails`: the load runs out of memory. `gpu`: the model may be unloaded. `real`: the
    embedded model in place of a scripted one. `tokens` of a fill, and `lines` of the file around the hole, make
    messages as large as those of an editor."""

    steps: int = 2
    step_ms: float = 1.0
    load_ms: float = 1.0
    fails: bool = False
    gpu: bool = False
    real: bool = False
    tokens: int = 1
    lines: int = 0
    digest: str = "model"
    silence: float = 1.0
    beat: float = 0.1


class ScriptedEngine:
    """Fills a hole with the path of the request and the process that did it."""

    def __init__(self, script: Script, folder: Path, loading: Loading) -> None:
        self._script = script
        self._memory = os.open(folder / f"{script.digest}.memory", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with (folder / "second").open("a") as journal:
                journal.write(f"{os.getpid()}\n")
        for part in range(10):
            loading(part, 10)
            time.sleep(script.load_ms / 10_000)
        with (folder / "loads").open("a") as journal:
            journal.write(f"{os.getpid()}\n")
        device = "cuda:0" if script.gpu else "cpu"
        self.info = ModelInfo("scripted", 1, 4, device, device, "float32", 0.0, PROFILE)

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        text, started = f"{request.context.path} by {os.getpid()}", time.perf_counter()
        fill = Fill(text, (Piece("token", 0.123456789, 0.123456789),) * self._script.tokens, None, 0.123456789)
        for index in range(1, self._script.steps + 1):
            time.sleep(self._script.step_ms / 1000)
            if cancel is not None and cancel.cancelled:
                raise Cancelled
            yield Step(index, (fill,), 0.1)
        timings = Timings(0.0, (time.perf_counter() - started) * 1000)
        yield Infill((fill,), self._script.steps, "stable", timings, 0, 0, 0, 0)

    def warm(self) -> Iterator[None]:
        yield from ()

    def count(self, text: str) -> int:
        return len(text)

    def close(self) -> None:
        os.close(self._memory)


class Window:
    def __init__(self, folder: Path) -> None:
        self._script = script = Script(**json.loads((folder / "script.json").read_text()))
        self._folder = folder
        identity = Identity("scripted", embedded_folder(), script.digest, 2**40)
        patience = Patience(beat=script.beat, silence=script.silence, again=0.01)
        self._sharing = Sharing(identity, lambda: folder, patience)
        self._writing = threading.Lock()
        self._cancels: dict[Any, CancelToken] = {}
        self.worker = Worker(self._open)

    def _open(self, worker: Worker) -> EngineLike:
        return self._sharing.open(self._load, lambda done, total: None, worker)

    def _load(self, loading: Loading) -> EngineLike:
        if self._script.fails:
            raise NotEnoughMemory("there is no room")
        if self._script.real:
            from dgls_engine import Engine

            return Engine.open("embedded", "cpu", threads=1)
        return ScriptedEngine(self._script, self._folder, loading)

    def answer(self, asked: dict[str, Any]) -> None:
        number = asked["ask"]
        if asked.get("cancel"):
            self._cancels[number].cancel()
            return
        if "idle" in asked:
            self.worker.unload_after(asked["idle"])
        if asked.get("state"):
            self.worker.retry()
            info = self.worker.info
            self._say(
                {
                    "ask": number,
                    "state": self.worker.state,
                    "holder": info and info.holder,
                    "health": info and info.health,
                    "torch": "torch" in sys.modules,
                    "cpu": time.process_time(),
                }
            )
            return
        cancel = self._cancels[number] = CancelToken()
        code = "".join(f"    value = function(argument, {line})\n" for line in range(self._script.lines))
        context = Context(path=f"request {number}", language="python", above=code, below=code)
        segments = [Pinned(code[:2000]), Hole(max_tokens=24, stop="\n"), Pinned(code[:1000])]
        request, started = InfillRequest(context, segments, Limits()), time.perf_counter()
        key = asked.get("key", number)
        self.worker.submit(request, cancel, key, lambda step: None).add_done_callback(
            lambda future: self._settle(number, future, started)
        )

    def _settle(self, number: int, future: Future[Infill], started: float) -> None:
        """`ms`: milliseconds of the request here besides those of the engine."""
        self._cancels.pop(number)
        error, took = future.exception(), (time.perf_counter() - started) * 1000
        if error is None:
            timings = future.result().timings
            ms = took - timings.prefill_ms - timings.denoise_ms
            self._say({"ask": number, "text": future.result().texts[0], "ms": ms})
        else:
            self._say({"ask": number, "error": type(error).__name__, "message": str(error)})

    def _say(self, answer: dict[str, Any]) -> None:
        with self._writing:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def main() -> None:
    window = Window(Path(sys.argv[1]))
    for line in sys.stdin:
        window.answer(json.loads(line))
    window.worker.close()
    os._exit(0)


if __name__ == "__main__":
    main()
