"""Sends the client `dgls/status` on each change, and `$/progress` while the model loads.

Also shows an error message if the model can't be opened, for clients that ignore both; and one warning if memory ran
out for an automatic suggestion.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from uuid import uuid4

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from dgls.server.host import Status
from dgls.server.session import Session

STATUS = "dgls/status"


def register(server: LanguageServer, session: Session) -> None:
    progress = LoadProgress(server)
    last_failure = ""

    def send(status: Status) -> None:
        nonlocal last_failure
        server.protocol.notify(STATUS, asdict(status))
        if session.client.progress:
            progress.follow(status)
        if status.state == "failed" and status.message != last_failure:  # only once for retries with the same result
            last_failure = status.message
            message = f"dgls has no model: {last_failure}"
            server.window_show_message(types.ShowMessageParams(types.MessageType.Error, message))

    def warn(message: str) -> None:
        server.window_show_message(types.ShowMessageParams(types.MessageType.Warning, f"dgls: {message}"))

    session.listeners.append(send)
    session.host.warners.append(warn)


class LoadProgress:
    """One progress bar for each load."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._loaded: asyncio.Future[Status] | None = None
        self._token: str | None = None
        self._percent = 0
        self._shown: set[asyncio.Task[None]] = set()

    def follow(self, status: Status) -> None:
        self._percent = status.percent or 0
        if status.state == "loading" and self._loaded is None:
            self._loaded = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._show(status, self._loaded))
            self._shown.add(task)
            task.add_done_callback(self._shown.discard)
        elif status.state != "loading" and self._loaded is not None:
            self._loaded.set_result(status)
            self._loaded = self._token = None
        elif self._token is not None:
            report = types.WorkDoneProgressReport(message=status.message, percentage=self._percent)
            self._server.work_done_progress.report(self._token, report)

    async def _show(self, status: Status, loaded: asyncio.Future[Status]) -> None:
        token, progress = f"dgls-{uuid4()}", self._server.work_done_progress
        try:
            await progress.create_async(token)
        except JsonRpcException:  # the client refuses the bar
            return
        # Clients may ignore later percentages if the first message has none.
        progress.begin(token, types.WorkDoneProgressBegin("dgls", message=status.message, percentage=self._percent))
        if not loaded.done():
            self._token = token
        end = await loaded
        progress.end(token, types.WorkDoneProgressEnd(message=end.message or f"{end.model} is {end.state}."))
