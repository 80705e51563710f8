"""`$/progress` of one action: a bar that appears after half a second and has a cancel button.

Cancelling ends the task that created the `Progress`, as if its request had been cancelled.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

AFTER_SECONDS = 0.5


class Progress:
    """`token` is the client's own token, if it sent one; then the bar appears at once. `supported`: the client can show
    bars."""

    def __init__(self, server: LanguageServer, title: str, token: types.ProgressToken | None, supported: bool) -> None:
        self._bars = server.work_done_progress
        self._title = title
        self._percent: int | None = None
        self._highest = 0
        self._message = ""
        self._token: types.ProgressToken | None = None
        self._owner = asyncio.current_task()
        self._showing: asyncio.Task[None] | None = None
        if token is not None:
            self._begin(token)
        elif supported:
            self._showing = asyncio.create_task(self._show())

    def report(self, percent: int | None, message: str) -> None:
        """Advance the bar; it never moves back. `percent` is None if it is not known."""
        self._highest = max(self._highest, percent or 0)
        self._percent = None if percent is None else self._highest
        self._message = message
        if self._token is not None:
            value = types.WorkDoneProgressReport(cancellable=True, message=message, percentage=self._percent)
            self._bars.report(self._token, value)

    def end(self) -> None:
        if self._showing is not None:
            self._showing.cancel()
        if self._token is not None:
            self._bars.end(self._token, types.WorkDoneProgressEnd())
            self._bars.tokens.pop(self._token, None)

    async def _show(self) -> None:
        await asyncio.sleep(AFTER_SECONDS)
        token = f"dgls-{uuid4()}"
        try:
            await self._bars.create_async(token)
        except JsonRpcException:  # the client refuses the bar
            return
        self._begin(token)

    def _begin(self, token: types.ProgressToken) -> None:
        self._token = token
        value = types.WorkDoneProgressBegin(
            self._title, cancellable=True, message=self._message or None, percentage=self._percent
        )
        self._bars.begin(token, value)
        self._bars.tokens[token].add_done_callback(lambda _: self._owner and self._owner.cancel())
