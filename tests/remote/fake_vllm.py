"""A server that speaks vLLM 0.33's completions with its diffusion fields, over whatever denoises: a model or a script.

It has vLLM's traits (tests/remote/denoisers.py) and its checks of requests, and stops the work of closed connections.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.remote.fake_http import FakeServer, Seen, begin_stream, send, stream


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
class FakeVllm(FakeServer):
    """`faults` are also "hang", "drop", "half", "garbage", "deep", "endless", "short", "unpinned" and "logits". `pins`:
    an older server has none."""

    denoiser: Denoiser
    canvas_length: int
    max_model_len: int = field(default=8192, kw_only=True)
    version: str = field(default="0.33.0", kw_only=True)
    pins: bool = field(default=True, kw_only=True)
    _threads: ThreadPoolExecutor | None = field(default=None, kw_only=True)

    @property
    def card(self) -> dict[str, Any]:
        return {"max_model_len": self.max_model_len}

    @property
    def denoised(self) -> list[Seen]:
        """The requests for a canvas."""
        return [one for one in self.seen if "diffusion_seed_canvas" in one.body.get("vllm_xargs", {})]

    def start(self) -> None:
        self._threads = ThreadPoolExecutor(64)
        FakeServer.start(self)

    def stop(self) -> None:
        FakeServer.stop(self)
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None

    async def respond(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if seen.path == "/version":
            await send(writer, 200, {"version": self.version})
        elif seen.path == "/tokenize":
            await send(writer, 200, {"tokens": self.denoiser.tokens(seen.body["prompt"])})
        elif seen.path == "/v1/completions":
            await self._complete(seen, reader, writer)
        else:
            await send(writer, 404, {"detail": "Not Found"})

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
            await send(writer, 200, {"choices": [{"index": 0, "text": "x", "finish_reason": "length"}]})
            return
        fault = self.faults.popleft() if self.faults else ""
        if fault == "unpinned":
            extra["diffusion_pinned"] = [0]
        if await self.refused(writer, fault):
            return
        if body["stream"]:
            await begin_stream(writer)
        canvas = await self.unless_gone(seen, reader, self._denoise(seen, fault))
        if not seen.aborted:
            said = list(events(body, canvas, self.denoiser))
            if fault == "short":
                del said[0]
            if fault == "logits":
                said = [re.sub(r"-(\d+\.\d+)", r"\1", event) for event in said]
            await stream(writer, said, fault)
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


async def _error(writer: asyncio.StreamWriter, status: int, message: str, body: Mapping[str, Any]) -> None:
    """Where a stream was asked for, a refusal comes as its first event."""
    error = {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}
    if not body.get("stream") or status == 404:
        await send(writer, status, error)
        return
    await begin_stream(writer)
    await stream(writer, [json.dumps(error), "[DONE]"], "")
