"""A server that speaks OpenAI's chat completions, streamed, over a script of answers."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.remote.fake_http import FakeServer, Seen, begin_stream, send, send_event, stream


@dataclass(slots=True)
class FakeChat(FakeServer):
    """Says the next of `answers`, or `says` when there are no more, in parts of `size` characters; before them it
    `thinks`, in a field of its own, and at the end it gives the `reason`. `longest`: the context that it tells of.

    `faults` are also "hang", "stall" (before the end), "drop", "half", "garbage", "deep", "endless", "html" (a page),
    "whole" (no stream), "numbers" (in place of texts), "broken off" (no end), "unmarked" (no [DONE]) and "error" (in
    the stream).
    """

    says: str = "name"
    answers: deque[str] = field(default_factory=deque)
    size: int = 5
    thinks: str = ""
    reason: str = "stop"
    longest: int | None = None

    @property
    def card(self) -> dict[str, Any]:
        return {} if self.longest is None else {"max_model_len": self.longest}

    @property
    def asked(self) -> list[Seen]:
        """The requests for an answer."""
        return [one for one in self.seen if one.path == "/v1/chat/completions"]

    async def respond(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if seen.path != "/v1/chat/completions":
            await send(writer, 404, {"detail": "Not Found"})
            return
        fault = self.faults.popleft() if self.faults else ""
        if seen.body["model"] not in self.names:
            await send(writer, 404, {"error": {"message": f"The model `{seen.body['model']}` does not exist."}})
        elif fault == "html":
            page = b"<html>log in</html>"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
            await writer.drain()
        elif fault == "whole":
            await send(writer, 200, {"choices": [{"message": {"content": self.says}, "finish_reason": "stop"}]})
        elif not await self.refused(writer, fault):
            await begin_stream(writer)
            await self.unless_gone(seen, reader, self._tell(writer, fault))
            seen.answered = not seen.aborted

    async def _tell(self, writer: asyncio.StreamWriter, fault: str) -> None:
        if fault == "hang":
            await asyncio.sleep(3600)
        events = list(self._events(self.answers.popleft() if self.answers else self.says))
        if fault == "numbers":
            events[1] = json.dumps({"choices": [{"delta": {"content": 3}}]})
        if fault == "broken off":
            del events[-2:]
        if fault == "unmarked":
            del events[-1]
        if fault == "error":
            events[1] = json.dumps({"error": {"message": "out of memory", "code": 503}})
        if fault == "stall":
            for event in events[:-2]:
                await send_event(writer, event)
            await asyncio.sleep(3600)
        await stream(writer, events, fault)

    def _events(self, answer: str) -> Iterator[str]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": self.thinks}] if self.thinks else []
        deltas += [{"content": answer[at : at + self.size]} for at in range(0, len(answer), self.size)]
        for delta in deltas:
            yield json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        yield json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": self.reason}]})
        yield "[DONE]"
