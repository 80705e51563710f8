"""`$/progress` of one action: a bar that appears where it takes longer than half a second, and that can be cancelled.

Cancelling ends the task that made the bar as if its request had been cancelled.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

AFTER_SECONDS = 0.5


class Progress:
    """`token` is the client's own, if it sent one: then the bar is there at once. `wanted`: it may be sent ours."""

    def __init__(self, server: LanguageServer, title: str, token: types.ProgressToken | None, wanted: bool) -> None:
        self._bars = server.work_done_progress
        self._title = title
        self._told = (0, "")
        self._known = False
        self._token: types.ProgressToken | None = None
        self._doing = asyncio.current_task()
        self._showing: asyncio.Task[None] | None = None
        if token is not None:
            self._begin(token)
        elif wanted:
            self._showing = asyncio.create_task(self._show())

    def report(self, percent: int | None, message: str) -> None:
        """`percent` is None where it is not known."""
        self._known = percent is not None
        self._told = (max(self._told[0], percent or 0), message)
        if self._token is not None:
            value = types.WorkDoneProgressReport(cancellable=True, message=message, percentage=self._percent)
            self._bars.report(self._token, value)

    def end(self) -> None:
        if self._showing is not None:
            self._showing.cancel()
        if self._token is not None:
            self._bars.end(self._token, types.WorkDoneProgressEnd())
            self._bars.tokens.pop(self._token, None)

    @property
    def _percent(self) -> int | None:
        return self._told[0] if self._known else None

    async def _show(self) -> None:
        await asyncio.sleep(AFTER_SECONDS)
        token = f"dgls-{uuid4()}"
        try:
            await self._bars.create_async(token)
        except JsonRpcException:  # the client wants none
            return
        self._begin(token)

    def _begin(self, token: types.ProgressToken) -> None:
        self._token = token
        value = types.WorkDoneProgressBegin(
            self._title, cancellable=True, message=self._told[1] or None, percentage=self._percent
        )
        self._bars.begin(token, value)
        self._bars.tokens[token].add_done_callback(lambda _: self._doing and self._doing.cancel())
