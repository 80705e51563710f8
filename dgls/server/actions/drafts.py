"""`dgls/draft`: the model's current draft, for editors that show the denoising in place.

Sends at most 20 drafts a second, and at the end of the action, for whatever reason, a last one with `done`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import exp
from typing import Any

from dgls.change.passage import Gap, Passage
from dgls.code.document import Document, PositionEncoding
from dgls.server.positions import range_of
from dgls_engine.types import Fill, Step

DRAFT = "dgls/draft"
PAUSE_SECONDS = 0.055
"""The pause between two drafts. The last draft is sent at once; even with it, a second has at most 20."""

Notify = Callable[[str, dict[str, Any]], None]


class Drafts:
    """Sends the drafts of one request. `step` may be called from any thread, the other methods only on the loop."""

    def __init__(self, notify: Notify, request: str, document: Document, encoding: PositionEncoding) -> None:
        self._notify = notify
        self._head: dict[str, Any] = {"request": request, "uri": document.uri, "version": document.version}
        self._document, self._encoding = document, encoding
        self._loop = asyncio.get_running_loop()
        self._pending: tuple[Passage, Step, int] | None = None
        self._next = 0.0
        self._ended = False

    def step(self, passage: Passage, step: Step, candidate: int) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take, passage, step, candidate)

    def end(self) -> None:
        self._ended = True
        self._notify(DRAFT, {**self._head, "holes": [], "done": True})

    def _take(self, passage: Passage, step: Step, candidate: int) -> None:
        scheduled = self._pending is not None
        self._pending = passage, step, candidate
        if not scheduled:
            self._loop.call_later(max(0.0, self._next - self._loop.time()), self._send)

    def _send(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None or self._ended:
            return
        passage, step, candidate = pending
        self._next = self._loop.time() + PAUSE_SECONDS
        holes = [self._hole(gap, fill) for gap, fill in zip(passage.gaps, step.fills, strict=True)]
        self._notify(DRAFT, {**self._head, "candidate": candidate, "holes": holes})

    def _hole(self, gap: Gap, fill: Fill) -> dict[str, Any]:
        text = gap.lead + fill.text + gap.tail
        tokens = [*_certain(gap.lead), *_tokens(fill), *_certain(gap.tail)]
        return {"range": range_of(self._document, gap.origin, self._encoding), "text": text, "tokens": tokens}


def _certain(text: str) -> list[dict[str, Any]]:
    return [{"text": text, "certainty": 1.0}] if text else []


def _tokens(fill: Fill) -> list[dict[str, Any]]:
    """A fill's tokens. Their certainty is exp(-entropy): 1 if the model is certain, 1/k if it wavers between k
    tokens."""
    return [{"text": piece.text, "certainty": round(exp(-piece.entropy), 3)} for piece in fill.pieces]
