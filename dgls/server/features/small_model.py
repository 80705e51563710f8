"""Tells the user once that the embedded model answers because the small one is not on this machine, and fetches it.

A client that shows choices beside its work gets the choice to fetch the model; the new model replaces the open one.
Other clients get the message alone. The download runs on a thread of its own, which ends with the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from dgls.server.host import Status
from dgls.server.session import Session
from dgls_engine.errors import EngineError
from dgls_engine.weights import small

FETCH = "Fetch it"

logger = logging.getLogger(__name__)


def register(server: LanguageServer, session: Session) -> None:
    told = False
    running: set[asyncio.Task[None]] = set()

    def follow(status: Status) -> None:
        nonlocal told
        advice = session.host.fallback_advice
        if told or advice is None:
            return
        told = True
        server.window_log_message(types.LogMessageParams(types.MessageType.Info, advice))
        if not session.client.offers_choices:
            show(advice)
            return
        task = asyncio.create_task(offer(advice))
        running.add(task)
        task.add_done_callback(running.discard)

    def show(advice: str) -> None:
        message = f"{advice} Then start the server again."
        server.window_show_message(types.ShowMessageParams(types.MessageType.Info, message))

    async def offer(advice: str) -> None:
        choice = types.ShowMessageRequestParams(types.MessageType.Info, advice, [types.MessageActionItem(FETCH)])
        try:
            chosen = await server.window_show_message_request_async(choice)
        except JsonRpcException:  # the client declares the request and does not know it
            show(advice)
            return
        if chosen is not None and chosen.title == FETCH:
            await fetch()

    async def fetch() -> None:
        try:
            async with progress(server, "Fetching the small model ...", session.client.progress):
                await asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(1, "dgls-fetching"), _pull)
        except Exception as error:  # a damaged download can fail in any way
            if not isinstance(error, EngineError):
                logger.exception("the small model could not be fetched")
            message = f"dgls could not fetch the small model: {error}"
            server.window_show_message(types.ShowMessageParams(types.MessageType.Error, message))
            return
        session.host.configure(session.settings)
        session.tell()

    session.listeners.append(follow)


def _pull() -> Path | None:
    return small.pull_small(lambda: True)


@asynccontextmanager
async def progress(server: LanguageServer, message: str, supported: bool) -> AsyncIterator[None]:
    """A bar without percentages: pip does not tell how far it is."""
    bars, token = server.work_done_progress, f"dgls-{uuid4()}"
    try:
        if supported:
            await bars.create_async(token)
    except JsonRpcException:  # the client refuses the bar
        supported = False
    if supported:
        bars.begin(token, types.WorkDoneProgressBegin("dgls", message=message))
    try:
        yield
    finally:
        if supported:
            bars.end(token, types.WorkDoneProgressEnd())
