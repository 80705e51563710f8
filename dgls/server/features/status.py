"""Tells the client what the server is doing: `dgls/status` on each change, `$/progress` while the model loads.

A model that can't be opened is an error message, too: a client that ignores the rest would just stay quiet. So is,
once, that memory ran out while a suggestion was made that nobody asked for.
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
    failure = ""

    def tell(status: Status) -> None:
        nonlocal failure
        server.protocol.notify(STATUS, asdict(status))
        if session.client.progress:
            progress.follow(status)
        if status.state == "failed" and status.message != failure:  # not at each new try
            failure = status.message
            message = f"dgls has no model: {failure}"
            server.window_show_message(types.ShowMessageParams(types.MessageType.Error, message))

    def warn(message: str) -> None:
        server.window_show_message(types.ShowMessageParams(types.MessageType.Warning, f"dgls: {message}"))

    session.listeners.append(tell)
    session.host.warners.append(warn)


class LoadProgress:
    """A progress bar from the begin of a load to its end."""

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
            far = types.WorkDoneProgressReport(message=status.message, percentage=self._percent)
            self._server.work_done_progress.report(self._token, far)

    async def _show(self, status: Status, loaded: asyncio.Future[Status]) -> None:
        token, progress = f"dgls-{uuid4()}", self._server.work_done_progress
        try:
            await progress.create_async(token)
        except JsonRpcException:  # the client wants none
            return
        # Without a percentage from the start clients may ignore later ones.
        progress.begin(token, types.WorkDoneProgressBegin("dgls", message=status.message, percentage=self._percent))
        if not loaded.done():
            self._token = token
        end = await loaded
        progress.end(token, types.WorkDoneProgressEnd(message=end.message or f"{end.model} is {end.state}."))
