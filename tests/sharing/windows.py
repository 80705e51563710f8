"""Real processes that share a scripted model, driven from a test: `async with windows(tmp_path, 3) as (a, b, c):`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "sharing" / "window.py"
WAIT = 20.0


class Window:
    """One process. `ask` sends a request and returns its answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self._numbers, self.closed = process, count(), False
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, folder: Path) -> Window:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "engine")))}
        command = (sys.executable, "-P", str(PROGRAM), str(folder))
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        return cls(await asyncio.create_subprocess_exec(*command, **pipes, env=environment))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    def send(self, **asked: Any) -> asyncio.Future[dict[str, Any]]:
        """Without a wait for the answer. A process that ends before it answers gives {"error": "ended"}."""
        number = next(self._numbers)
        self._answers[number] = answer = asyncio.get_running_loop().create_future()
        if self._reading.done():
            answer.set_result({"error": "ended"})
            return answer
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"ask": number, **asked}).encode() + b"\n")
        return answer

    async def ask(self, **asked: Any) -> dict[str, Any]:
        return await asyncio.wait_for(self.send(**asked), WAIT)

    async def state(self) -> dict[str, Any]:
        return await self.ask(state=True)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self, wait: bool = True) -> None:
        """As when the editor closes the window."""
        self.closed = True
        assert self._process.stdin is not None
        self._process.stdin.close()
        if wait:
            await asyncio.wait_for(self._process.wait(), WAIT)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            self._answers.pop(answer["ask"]).set_result(answer)
        for unanswered in self._answers.values():
            if not unanswered.done():
                unanswered.set_result({"error": "ended"})


class Folder:
    """The folder of the sockets, and what the scripted engines left there."""

    def __init__(self, path: Path, script: dict[str, Any]) -> None:
        self.path = path
        path.chmod(0o700)
        (path / "script.json").write_text(json.dumps(script))

    @property
    def loads(self) -> int:
        return len(self._lines("loads"))

    @property
    def second_copies(self) -> int:
        return len(self._lines("second"))

    @property
    def socket(self) -> Path:
        return self.path / "model"

    def _lines(self, name: str) -> list[str]:
        file = self.path / name
        return file.read_text().split() if file.exists() else []


@asynccontextmanager
async def windows(folder: Folder, number: int) -> AsyncIterator[list[Window]]:
    """All are open: the first one holds the model."""
    opened = [await Window.start(folder.path)]
    try:
        await opened[0].ask()
        opened += [await Window.start(folder.path) for _ in range(number - 1)]
        for window in opened:
            assert (await window.ask())["text"].endswith(f" by {opened[0].pid}")
        yield opened
    finally:
        for window in opened:
            await window.kill()
