"""initialized and didChangeConfiguration: request the settings from the client, then open the model they choose."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.server.session import Session
from dgls.server.settings import SECTION, own_options, warning_about

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
"""How long to wait for the client's settings before the model is opened without them. A later answer still counts."""


def register(server: LanguageServer, session: Session, on_settings: Callable[[], None]) -> None:
    """`on_settings` is called when the client's settings have been read."""

    def take(options: Mapping[str, Any]) -> None:
        if problems := session.configure("configuration", options):
            message = types.ShowMessageParams(types.MessageType.Warning, warning_about(problems))
            server.window_show_message(message)
        on_settings()

    def answered(answer: asyncio.Future[Any]) -> None:
        if not answer.cancelled() and (error := answer.exception()) is not None:
            logger.warning("The client did not send its settings: %s", error)
            take({})
        elif not answer.cancelled():
            values = answer.result()
            take(own_options(values[0] if values else {}))

    async def pull() -> None:
        if not session.client.configuration:
            take({})
            return
        section = types.ConfigurationParams(items=[types.ConfigurationItem(section=SECTION)])
        answer = asyncio.ensure_future(server.workspace_configuration_async(section))
        answer.add_done_callback(answered)
        await asyncio.wait({answer}, timeout=PATIENCE_SECONDS)

    @server.feature(types.INITIALIZED)
    async def initialized(params: types.InitializedParams) -> None:
        await pull()
        session.open()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def changed(params: types.DidChangeConfigurationParams) -> None:
        if session.client.configuration:
            await pull()
        else:
            take(own_options(params.settings))
        session.open()
