"""A server that speaks vLLM 0.33's completions with its diffusion fields, over whatever denoises: a model or a script.

It has vLLM's traits (tests/remote/denoisers.py) and its checks of requests, serves several connections at once, stops
the work of those that are closed, and misbehaves when told to. Runs on a thread and an event loop of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Protocol


class Canvas(Protocol):
    """A canvas when its denoising ended."""

    @property
    def ids(self) -> Sequence[int]: ...

    def logprobs(self, position: int, wanted: Sequence[int], likeliest: int) -> Mapping[int, float]:
        """At temperature 1: of `wanted`, and of so many of the likeliest."""
        ...


class Denoiser(Protocol):
    vocabulary: int

    def denoise(
        self,
        prompt: Sequence[int],
        canvas: Sequence[int],
        pinned: Sequence[int],
        most: int,
        stopped: Callable[[], bool],
    ) -> Canvas | None:
        """None if it was stopped. Called on several threads."""
        ...

    def tokens(self, text: str) -> list[int]: ...


@dataclass(slots=True)
class Seen:
    """A request that came in: `aborted` if its connection was closed before it was answered."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    aborted: bool = False
    answered: bool = False


@dataclass(slots=True)
class FakeVllm:
    """`faults` are used up by the next denoising requests, one each: "hang", "drop", "half", "garbage", "short",
    "unpinned", "logits", "307 URL", "400 WORDS", "429 SECONDS", "500", "503". `keys`: which of them are let in, all if
    there are none. `pins`: an older server has none.
    """

    denoiser: Denoiser
    canvas_length: int
    names: tuple[str, ...] = ("team/model",)
    max_model_len: int = 8192
    version: str = "0.33.0"
    keys: set[str] = field(default_factory=set)
    pins: bool = True
    port: int = 0
    faults: deque[str] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _threads: ThreadPoolExecutor | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def denoised(self) -> list[Seen]:
        """The requests for a canvas."""
        return [one for one in self.seen if "diffusion_seed_canvas" in one.body.get("vllm_xargs", {})]

    def __enter__(self) -> FakeVllm:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def start(self) -> None:
        """On the same port as before, if it ran before."""
        up = threading.Event()
        self._threads = ThreadPoolExecutor(64)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(up)), name="fake-vllm", daemon=True)
        self._thread.start()
        assert up.wait(10)

    def stop(self) -> None:
        """At once: what runs is cut off."""
        if self._loop is None or self._thread is None or self._threads is None:
            return
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(10)
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._loop = self._thread = None

    def _end(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _serve(self, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        up.set()
        with suppress(asyncio.CancelledError):
            async with server:
                await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            while (request := await _read(reader)) is not None:
                await self._answer(request, reader, writer)
        writer.close()
        with suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async def _answer(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(seen)
        if self.keys and seen.path.startswith("/v1") and _key(seen) not in self.keys:
            await _send(writer, 401, {"error": "Unauthorized"})
        elif seen.path == "/v1/models":
            cards = [{"id": name, "object": "model", "max_model_len": self.max_model_len} for name in self.names]
            await _send(writer, 200, {"object": "list", "data": cards})
        elif seen.path == "/version":
            await _send(writer, 200, {"version": self.version})
        elif seen.path == "/tokenize":
            await _send(writer, 200, {"tokens": self.denoiser.tokens(seen.body["prompt"])})
        elif seen.path == "/v1/completions":
            await self._complete(seen, reader, writer)
        else:
            await _send(writer, 404, {"detail": "Not Found"})

    async def _complete(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body, extra = seen.body, seen.body.get("vllm_xargs", {})
        if not self.pins:
            extra = {}
        problem = refusal(extra, self.canvas_length, self.denoiser.vocabulary)
        if body["model"] not in self.names:
            await _error(writer, 404, f"The model `{body['model']}` does not exist.", body)
            return
        if problem is not None:
            await _error(writer, 400, f"{problem} (parameter=extra_args)", body)
            return
        if not extra:  # what an older server makes of it: its own text
            await _send(writer, 200, {"choices": [{"index": 0, "text": "x", "finish_reason": "length"}]})
            return
        fault = self.faults.popleft() if self.faults else ""
        if fault == "unpinned":
            extra["diffusion_pinned"] = [0]
        if fault.startswith(("3", "4", "5")):
            status, _, after = fault.partition(" ")
            said = after if status == "400" else "busy"
            await _send(writer, int(status), {"error": {"message": said, "code": int(status)}}, after)
            return
        if body["stream"]:
            await _begin_stream(writer)
        gone = asyncio.ensure_future(reader.read(1))  # nobody sends more before the answer: it is the end
        done = asyncio.ensure_future(self._denoise(seen, fault))
        try:
            await asyncio.wait({gone, done}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not done.done():
                seen.aborted = True
                done.cancel()
                await asyncio.wait({done})
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
        if not seen.aborted:
            await _stream(writer, events(body, done.result(), self.denoiser), fault)
            seen.answered = True

    async def _denoise(self, seen: Seen, fault: str) -> Canvas | None:
        if fault == "hang":
            await asyncio.sleep(3600)
        assert self._threads is not None
        extra = seen.body["vllm_xargs"]
        stopped = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads,
                self.denoiser.denoise,
                seen.body["prompt"],
                extra["diffusion_seed_canvas"],
                extra.get("diffusion_pinned", ()),
                extra.get("diffusion_max_steps", 48),
                stopped.is_set,
            )
        finally:
            stopped.set()


def refusal(extra: Mapping[str, Any], canvas_length: int, vocabulary: int) -> str | None:
    """Why 0.33 refuses such fields: the rules of its `utils/diffusion.py` that our requests could break."""
    width, seed, pins = (extra.get(f"diffusion_{name}") for name in ("canvas_length", "seed_canvas", "pinned"))
    if width is not None and not 0 < width <= canvas_length:
        return "diffusion_canvas_length must be a positive integer no larger than the served canvas."
    length = width or canvas_length
    if seed is not None and not all(0 <= id < vocabulary for id in seed):
        return f"diffusion_seed_canvas ids must be in [0, {vocabulary})."
    if seed is not None and len(seed) != length:
        return f"diffusion_seed_canvas must hold exactly {length} ids, got {len(seed)}."
    if pins is not None and seed is None:
        return "diffusion_pinned needs a diffusion_seed_canvas to hold."
    if pins is not None and not all(0 <= position < length for position in pins):
        return "diffusion_pinned positions must lie inside the canvas."
    if extra.get("diffusion_max_steps", 1) <= 0:
        return "diffusion_max_steps must be a positive integer."
    return None


def events(body: Mapping[str, Any], canvas: Canvas | None, denoiser: Denoiser) -> Iterator[str]:
    """The stream's JSON, as the server writes it: the canvas in two chunks, the usage, the end."""
    assert canvas is not None
    assert body["return_tokens_as_token_ids"]
    wanted, likeliest = body.get("logprob_token_ids", ()), 0 if "logprob_token_ids" in body else body["logprobs"]
    end = body["max_tokens"]
    for start, stop in ((0, end // 2), (end // 2, end)):
        if start == stop:
            continue
        ids = canvas.ids[start:stop]
        rows = [canvas.logprobs(row, [canvas.ids[row], *wanted], likeliest) for row in range(start, stop)]
        logprobs = {
            "text_offset": [0] * len(ids),
            "tokens": [f"token_id:{id}" for id in ids],
            "token_logprobs": [max(row[id], -9999.0) for id, row in zip(ids, rows, strict=True)],
            "top_logprobs": [{f"token_id:{id}": max(nats, -9999.0) for id, nats in row.items()} for row in rows],
        }
        choice = {"index": 0, "text": "?", "logprobs": logprobs, "finish_reason": "length" if stop == end else None}
        yield json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": [choice]})
    usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": end, "total_tokens": len(body["prompt"]) + end}
    yield json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": [], "usage": usage})
    yield "[DONE]"


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    first = (await reader.readline()).decode()
    if not first.strip():
        return None
    _, path, _ = first.split(" ")
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(path, headers, json.loads(content) if content else {})


def _key(seen: Seen) -> str:
    return seen.headers.get("authorization", "").removeprefix("Bearer ")


async def _error(writer: asyncio.StreamWriter, status: int, message: str, body: Mapping[str, Any]) -> None:
    """Where a stream was asked for, a refusal comes as its first event."""
    error = {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}
    if not body.get("stream") or status == 404:
        await _send(writer, status, error)
        return
    await _begin_stream(writer)
    await _stream(writer, iter([json.dumps(error), "[DONE]"]), "")


async def _send(writer: asyncio.StreamWriter, status: int, value: object, detail: str = "") -> None:
    content = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    if detail:
        head += f"{'Location' if status == 307 else 'Retry-After'}: {detail}\r\n"
    writer.write(head.encode() + b"\r\n" + content)
    await writer.drain()


async def _begin_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await writer.drain()


async def _stream(writer: asyncio.StreamWriter, events: Iterator[str], fault: str) -> None:
    said: Any = list(events)
    if fault == "drop":
        raise ConnectionError
    if fault == "garbage":
        said = ["{not json", "[DONE]"]
    if fault == "deep":
        said = ["[" * 100_000, "[DONE]"]
    if fault == "endless":
        said = repeat("x" * 2**20)
    if fault == "short":
        del said[0]
    if fault == "logits":
        said = [re.sub(r"-(\d+\.\d+)", r"\1", event) for event in said]
    for event in said:
        content = event.encode() if fault == "endless" else f"data: {event}\n\n".encode()
        if fault == "half":
            content = content[: len(content) // 2]
        writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        if fault == "half":
            break
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
