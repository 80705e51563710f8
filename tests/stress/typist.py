"""A person at the keyboard: types a part of a file again, with mistakes, and asks for suggestions as an editor does.

Keeps its own copy of the text, with positions computed from scratch, to compare the server's with. Runs on the asyncio
loop of the client.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.e2e.wire import Message, Wire, completion
from tests.stress.peeking_server import PEEK, digest
from tests.stress.sources import Source

INLINE, ACTION, RESOLVE = "textDocument/inlineCompletion", "textDocument/codeAction", "codeAction/resolve"
MOST_PENDING = 40
COMPARE_EVERY = 200
"""Keys."""
PATIENCE = 120.0
"""Seconds. A soak may run beside other work for hours."""

_BREAK = re.compile(r"\r\n|\r|\n")


class TimedWire(Wire):
    """Notes when each reply arrived, and forgets what the server says besides."""

    def __init__(self, *arguments: Any) -> None:
        self.arrived: dict[Any, float] = {}
        super().__init__(*arguments)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(holds), PATIENCE)

    async def _take(self, message: Message) -> None:
        if "method" not in message:
            self.arrived[message.get("id")] = time.monotonic()
        await super()._take(message)
        del self.heard[:-20]


@dataclass(slots=True)
class Tally:
    """What happened. `waits`: (keys so far, seconds) of the answers that nothing superseded."""

    keys: int = 0
    compared: int = 0
    unequal: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    waits: list[tuple[int, float]] = field(default_factory=list)


@dataclass(slots=True)
class File:
    """An open file. `undo` has for each edit the one that takes it back, and how much was typed before it."""

    uri: str
    text: str
    version: int = 1
    undo: list[tuple[int, int, str, int]] = field(default_factory=list)

    def position(self, offset: int) -> dict[str, int]:
        line, start = 0, 0
        for found in _BREAK.finditer(self.text, 0, offset):
            line, start = line + 1, found.end()
        return {"line": line, "character": len(self.text[start:offset].encode("utf-16-le", "surrogatepass")) // 2}

    def replace(self, start: int, end: int, text: str) -> Message:
        """Replace a part of the text; returns the change as LSP has it."""
        change = {"range": {"start": self.position(start), "end": self.position(end)}, "text": text}
        self.text = self.text[:start] + text + self.text[end:]
        return change


class Typist:
    """Types into one file after the other. `tally` has what happened so far."""

    def __init__(self, wire: TimedWire) -> None:
        self.tally = Tally()
        self._wire, self._random = wire, Random()
        self._pending: dict[int, str] = {}
        self._opened: list[str] = []

    async def visit(self, source: Source, keys: int, random: Random) -> None:
        """Open a file without a part of it, and type that part, for a number of keys or to the end of the part. What is
        typed and asked depends on `random` alone."""
        self._random, whole = random, source.text
        start = _outside_breaks(whole, random.randrange(len(whole) // 2))
        end = _outside_breaks(whole, start + keys)
        part = whole[start:end]
        file = File(f"file:///soak/{source.name}", whole[:start] + whole[end:])
        await self._open(file, source.language)
        typed, last = 0, self.tally.keys + keys
        while typed < len(part) and self.tally.keys < last:
            typed = await self._key(file, start, part, typed)
            if self.tally.keys % COMPARE_EVERY == 0:
                await self.compare(file)
        await self.compare(file)

    async def close_all(self) -> None:
        await self._settle(0)
        while self._opened:
            self._close(self._opened[0])

    async def compare(self, file: File) -> None:
        """Whether the server has the text that we have."""
        self.tally.compared += 1
        told = await self._wire.request(PEEK, {"uri": file.uri})
        if told["text"] != digest(file.text):
            self.tally.unequal.append(f"{file.uri} after {self.tally.keys} keys")

    async def _open(self, file: File, language: str) -> None:
        if file.uri in self._opened:
            self._close(file.uri)
        elif len(self._opened) == 5:
            self._close(self._random.choice(self._opened))
        self._wire.open(file.uri, file.text, language)
        self._opened.append(file.uri)

    def _close(self, uri: str) -> None:
        self._opened.remove(uri)
        self._wire.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    async def _key(self, file: File, start: int, part: str, typed: int) -> int:
        """One key, or what a person does besides. Returns how much of the part is typed then."""
        chance, at = self._random.random(), start + typed
        if chance < 0.02:
            self._edit(file, at, at, "q", typed)
            self._ask(file, at + 1)
            self._edit(file, at, at + 1, "", typed)
            file.undo.clear()
        elif chance < 0.03 and file.undo:
            begin, end, text, typed = file.undo.pop()
            self._send(file, file.replace(begin, end, text))
            at = start + typed
        elif chance < 0.04:
            length = len(_first(part[typed:], self._random.randrange(10, 60)))
            self._edit(file, at, at, part[typed : typed + length], typed)
            typed += length
        elif chance < 0.05:
            key = _first(part[typed:], 1)
            changes = [file.replace(at, at, key), file.replace(0, 0, "x\n"), file.replace(0, 2, "")]
            self._send(file, *changes)
            file.undo.clear()
            typed += len(key)
        elif chance < 0.052:
            self._send(file, {"text": file.text})
        else:
            key = _first(part[typed:], 1)
            self._edit(file, at, at, key, typed)
            typed += len(key)
        await self._ask_about(file, start + typed)
        return typed

    def _edit(self, file: File, start: int, end: int, text: str, typed: int) -> None:
        file.undo.append((start, start + len(text), file.text[start:end], typed))
        self._send(file, file.replace(start, end, text))

    def _send(self, file: File, *changes: Message) -> None:
        file.version += 1
        self.tally.keys += 1
        document = {"uri": file.uri, "version": file.version}
        self._wire.notify("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})

    async def _ask_about(self, file: File, at: int) -> None:
        """A suggestion, for which half of the keys wait; now and then actions; now and then the user cancels."""
        random = self._random
        asked, begun = self._ask(file, at, invoked=random.random() < 0.005), time.monotonic()
        if random.random() < 0.02:
            range = {"start": file.position(at), "end": file.position(at)}
            params = {"textDocument": {"uri": file.uri}, "range": range, "context": {"diagnostics": []}}
            listed = self._request(ACTION, params)
            if random.random() < 0.05 and (actions := (await self._wire.reply(listed)).get("result")):
                self._request(RESOLVE, random.choice(actions))
        chance = random.random()
        if chance < 0.4:
            reply = await self._wire.reply(asked)
            self.tally.waits.append((self.tally.keys, self._wire.arrived[asked] - begun))
            if chance < 0.03 and (items := reply.get("result", {}).get("items")):
                self._accept_and_undo(file, at, items[0]["insertText"])
        elif chance < 0.5:
            self._wire.notify("$/cancelRequest", {"id": asked})
        await self._settle(MOST_PENDING)

    def _accept_and_undo(self, file: File, at: int, text: str) -> None:
        for start, end, new in ((at, at, text), (at, at + len(text), "")):
            self._send(file, file.replace(start, end, new))

    def _ask(self, file: File, at: int, invoked: bool = False) -> int:
        place = file.position(at)
        return self._request(INLINE, completion(file.uri, place["line"], place["character"], 1 if invoked else 2))

    def _request(self, method: str, params: Message) -> int:
        number = self._wire.ask(method, params)
        self._pending[number] = method
        self.tally.requests[method] += 1
        return number

    async def _settle(self, most: int) -> None:
        """Wait until at most so many requests are unanswered. Counts the answers, and forgets them."""
        replies, pending = self._wire.replies, self._pending
        await self._wire.until(lambda: len(pending) - len(pending.keys() & replies.keys()) <= most)
        for number in pending.keys() & replies.keys():
            method, reply = pending.pop(number), replies.pop(number)
            self._wire.arrived.pop(number)
            if "error" in reply:
                self.tally.errors[f"{method} {reply['error']['code']}"] += 1
            else:
                self.tally.answers[method] += 1


def _first(text: str, count: int) -> str:
    """The start of the text; \\r\\n is one key."""
    return text[: count + 1] if text[count - 1 : count + 1] == "\r\n" else text[:count]


def _outside_breaks(text: str, offset: int) -> int:
    return offset + 1 if text[offset - 1 : offset + 1] == "\r\n" else offset
