"""A minimal LSP client over a subprocess's pipes. It sends any message, well-formed or not, and keeps all replies."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgls.server.frames import Frames
from dgls.server.settings import own_options

if TYPE_CHECKING:
    from tests.e2e.forked import Forked

REPO = Path(__file__).resolve().parents[2]
PATIENCE = 20.0

Message = dict[str, Any]


def frame(message: object) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}


def fake_command(script: Message) -> list[str]:
    return [sys.executable, "-P", str(REPO / "tests" / "e2e" / "fake_server.py"), json.dumps(script)]


class Wire:
    """`request` sends a request and returns the reply; `heard` has the server's own notifications and requests.

    `answers`: results for the server's requests by method; null for others.
    """

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        self._reader = reader
        self.write = write
        self._next_id = 0
        self._changed = asyncio.Condition()
        self.replies: dict[int | str | None, Message] = {}
        self.heard: list[Message] = []
        self.settings: Any = None
        self.answers: dict[str, Any] = {"workspace/applyEdit": {"applied": True}}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        frames = Frames()
        while chunk := await self._reader.read(65536):
            for body in frames.feed(chunk):
                assert body is not None
                await self._take(json.loads(body))

    async def _take(self, message: Message) -> None:
        if "method" not in message:
            self.replies[message.get("id")] = message
        elif message["method"] == "workspace/configuration":
            self.send({"id": message["id"], "result": [self.settings]})
        elif "id" in message:
            self.send({"id": message["id"], "result": self.answers.get(message["method"])})
        if "method" in message:
            self.heard.append(message)
        async with self._changed:
            self._changed.notify_all()

    def send(self, *messages: Message) -> None:
        """In one write, as a buffering editor sends them."""
        self.write(b"".join(frame({"jsonrpc": "2.0", **message}) for message in messages))

    def ask(self, method: str, params: object = None) -> int:
        """Send a request. `reply` waits for its reply."""
        self._next_id += 1
        self.send({"id": self._next_id, "method": method, "params": params})
        return self._next_id

    async def reply(self, msg_id: int | str | None) -> Message:
        await self.until(lambda: msg_id in self.replies)
        return self.replies[msg_id]

    async def request(self, method: str, params: object = None) -> Any:
        reply = await self.reply(self.ask(method, params))
        assert "error" not in reply, reply
        return reply["result"]

    def notify(self, method: str, params: object = None) -> None:
        self.send({"method": method, "params": params})

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(holds), PATIENCE)

    def statuses(self) -> list[str]:
        return [message["params"]["state"] for message in self.heard if message["method"] == "dgls/status"]

    async def status(self, state: str) -> None:
        await self.until(lambda: self.statuses()[-1:] == [state])

    async def initialize(self, params: Message | None = None) -> Message:
        """The model is the embedded one, unless the options or the settings name another."""
        capabilities = {"workspace": {"configuration": True}, "window": {"workDoneProgress": True}}
        given = {"processId": None, "rootUri": None, "capabilities": capabilities, **(params or {})}
        options = own_options(given.get("initializationOptions"))
        given["initializationOptions"] = {"model": "embedded", **options}
        result: Message = await self.request("initialize", given)
        self.notify("initialized", {})
        return result

    def open(self, uri: str, text: str, language: str = "python", version: int = 1) -> None:
        item = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def close(self) -> None:
        self._reading.cancel()


def completion(uri: str, line: int, character: int, kind: int = 2) -> Message:
    return {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": kind},
    }


def insertion(uri: str, version: int, line: int, character: int, text: str) -> Message:
    at = {"line": line, "character": character}
    changes = [{"range": {"start": at, "end": at}, "text": text}]
    return {"textDocument": {"uri": uri, "version": version}, "contentChanges": changes}


class Server:
    """The process behind a `Wire`, with its stderr so far."""

    def __init__(self, process: asyncio.subprocess.Process | Forked, wire: Wire) -> None:
        self.process = process
        self.wire = wire
        self.stderr = b""
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(65536):
            self.stderr += chunk

    async def says(self, text: bytes) -> None:
        """Wait until `text` is on stderr."""
        for _ in range(int(PATIENCE / 0.02)):
            if text in self.stderr:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{text!r} never came")

    async def exit_code(self, within: float) -> int:
        code = await asyncio.wait_for(self.process.wait(), within)
        await self._draining
        return code


@asynccontextmanager
async def serving(command: list[str], cwd: Path | None = None, wire: type[Wire] = Wire) -> AsyncIterator[Server]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd, env=environment()
    )
    async with driving(process, wire) as server:
        yield server


@asynccontextmanager
async def driving(process: asyncio.subprocess.Process | Forked, wire: type[Wire]) -> AsyncIterator[Server]:
    """Ends the process in the end."""
    assert process.stdin is not None
    assert process.stdout is not None
    server = Server(process, wire(process.stdout, process.stdin.write))
    try:
        yield server
    finally:
        server.wire.close()
        if process.returncode is None:
            process.kill()
        await server.exit_code(PATIENCE)
