"""`dgls/draft`: what the model thinks of so far, for editors that paint it in place.

At most 20 a second, and a last one with `done` whatever made the work end.
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
"""Between two drafts; with the last one, which waits for none, there are never more than 20 in a second."""

Notify = Callable[[str, dict[str, Any]], None]


class Drafts:
    """The drafts of one request. `step` may be called from any thread, everything else on the loop."""

    def __init__(self, notify: Notify, request: str, document: Document, encoding: PositionEncoding) -> None:
        self._notify = notify
        self._head: dict[str, Any] = {"request": request, "uri": document.uri, "version": document.version}
        self._document, self._encoding = document, encoding
        self._loop = asyncio.get_running_loop()
        self._newest: tuple[Passage, Step, int] | None = None
        self._next = 0.0
        self._over = False

    def step(self, passage: Passage, step: Step, candidate: int) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._take, passage, step, candidate)

    def end(self) -> None:
        self._over = True
        self._notify(DRAFT, {**self._head, "holes": [], "done": True})

    def _take(self, passage: Passage, step: Step, candidate: int) -> None:
        due = self._newest is None
        self._newest = passage, step, candidate
        if due:
            self._loop.call_later(max(0.0, self._next - self._loop.time()), self._send)

    def _send(self) -> None:
        newest, self._newest = self._newest, None
        if newest is None or self._over:
            return
        passage, step, candidate = newest
        self._next = self._loop.time() + PAUSE_SECONDS
        holes = [self._hole(gap, fill) for gap, fill in zip(passage.gaps, step.fills, strict=True)]
        self._notify(DRAFT, {**self._head, "candidate": candidate, "holes": holes})

    def _hole(self, gap: Gap, draft: Fill) -> dict[str, Any]:
        text = gap.lead + draft.text + gap.tail
        tokens = [*_certain(gap.lead), *_tokens(draft), *_certain(gap.tail)]
        return {"range": range_of(self._document, gap.origin, self._encoding), "text": text, "tokens": tokens}


def _certain(text: str) -> list[dict[str, Any]]:
    return [{"text": text, "certainty": 1.0}] if text else []


def _tokens(draft: Fill) -> list[dict[str, Any]]:
    """exp(-entropy): 1 where the model is certain, one in k where it wavers between k tokens."""
    return [{"text": piece.text, "certainty": round(exp(-piece.entropy), 3)} for piece in draft.pieces]
