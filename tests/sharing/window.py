"""A process that shares a model as a window's server does: `python -P window.py FOLDER`, with `FOLDER/script.json`.

Reads requests from stdin, one JSON object a line, and answers each on stdout. Its engine is scripted, and only one at a
time may be "in memory", which is a lock of its own: `copies` in an answer counts attempts to load a second one.
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
from dgls_engine.types import CancelToken, Context, Fill, Hole, Infill, InfillRequest, Limits, Loading, Step, Timings
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.worker import EngineLike, Worker

PROFILE = Profile("raw", "pad", 64, max_prompt_tokens=128, before_tokens=24, after_tokens=16)


@dataclass(frozen=True)
class Script:
    """What the engine does. `fails`: the load runs out of memory. `gpu`: the model may be unloaded."""

    steps: int = 2
    step_ms: float = 1.0
    load_ms: float = 1.0
    fails: bool = False
    gpu: bool = False
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
        text = f"{request.context.path} by {os.getpid()}"
        for index in range(1, self._script.steps + 1):
            time.sleep(self._script.step_ms / 1000)
            if cancel is not None and cancel.cancelled:
                raise Cancelled
            yield Step(index, (Fill(text, (), None, 1.0),), 0.1)
        yield Infill((Fill(text, (), None, 1.0),), self._script.steps, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)

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
                }
            )
            return
        cancel = self._cancels[number] = CancelToken()
        request = InfillRequest(Context(path=f"request {number}"), [Hole()], Limits())
        key = asked.get("key", number)
        self.worker.submit(request, cancel, key).add_done_callback(lambda future: self._settle(number, future))

    def _settle(self, number: int, future: Future[Infill]) -> None:
        self._cancels.pop(number)
        error = future.exception()
        if error is None:
            self._say({"ask": number, "text": future.result().texts[0]})
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
