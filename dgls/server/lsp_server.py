"""Builds the language server and runs it over stdio or TCP. The features hold the logic.

Importing this module does not import torch, and `initialize` is answered before any weight is read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn, cast

from pygls.exceptions import JsonRpcException, PyglsError
from pygls.lsp.server import LanguageServer

from dgls.change.task import STRENGTHS
from dgls.server.admission import VARIABLE, Token
from dgls.server.decoding import make_converter
from dgls.server.documents import lose
from dgls.server.features import (
    code_action,
    command,
    completion,
    configuration,
    inline_completion,
    lifecycle,
    models,
    next_edit,
    notebook_sync,
    small_model,
    status,
    text_sync,
)
from dgls.server.host import OpenEngine, Share
from dgls.server.log import logging_to_stderr
from dgls.server.protocol import Protocol
from dgls.server.session import Session
from dgls.server.settings import Settings
from dgls.server.sharing import between_windows
from dgls.server.transport import claim_stdio, serve_stdio, serve_tcp
from dgls.server.watchdog import watched
from dgls_engine.errors import EngineError
from dgls_engine.types import Loading
from dgls_engine.weights.repair import repair_advice
from dgls_engine.worker import EngineLike

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 0.5
"""The process waits this long for the engine thread to end, and then ends without it."""

PREFILL_MS = 1000
"""The time limit for reading a full prompt. A suggestion has 1,500 ms by default. The remaining 500 ms suffice for a
dozen denoising steps: a 26B model takes 6 to 17 ms for each on fast memory, a few times as long on slow memory."""


EXPERIMENTAL = {"dgls": {"strengths": [{"name": name, "strength": strength} for name, strength in STRENGTHS.items()]}}
"""The capabilities that the server announces besides LSP's own."""


class Server(LanguageServer):
    """pygls' server with our protocol and one session."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            "dgls",
            _version(),
            notebook_document_sync=notebook_sync.SYNC,
            protocol_cls=Protocol,
            converter_factory=make_converter,
        )
        self.session = session
        self.conversation.experimental = EXPERIMENTAL
        self.conversation.lost = lambda uri: lose(self, session, uri)
        lifecycle.register(self, session, lambda: completion.register(self, session), self.conversation.ended)
        configuration.register(self, session, lambda: completion.register_late(self, session))
        for feature in (
            text_sync,
            notebook_sync,
            status,
            models,
            small_model,
            inline_completion,
            code_action,
            command,
            next_edit,
        ):
            feature.register(self, session)

    @property
    def conversation(self) -> Protocol:
        return cast(Protocol, self.protocol)

    def report_server_error(self, error: Exception, source: type[PyglsError] | type[JsonRpcException]) -> None:
        """Log the error. A request's error is also in its reply; pygls would show every error to the user."""
        logger.error("%s: %s", source.__name__, error)


def open_engine(settings: Settings, on_loading: Loading) -> EngineLike:
    """The engine that the settings choose, after it has filled a hole. Imports torch, on the engine thread.

    The default number of threads leaves one core to the editor. If a team server runs the model, only the model's
    tokenizer and template are loaded here, and nothing for a chat server.
    """
    if settings.engine.url:
        return _open_remote(settings)
    from dgls_engine import Engine
    from dgls_engine.device import spare_threads

    threads = settings.threads or spare_threads()
    engine = Engine.open(
        settings.model, settings.device, settings.dtype, threads, on_loading=on_loading, prefill_ms=PREFILL_MS
    )
    try:
        with repair_advice(settings.model):
            engine.try_out()
    except EngineError:
        engine.close()
        raise
    return engine


def _open_remote(settings: Settings) -> EngineLike:
    from dgls_engine.remote.address import Address
    from dgls_engine.remote.chat import ChatEngine
    from dgls_engine.remote.engine import RemoteEngine

    chosen = settings.engine
    address = Address(chosen.url, chosen.served_model, chosen.api_key_variable, chosen.api_key_command)
    return ChatEngine.open(address) if chosen.chats else RemoteEngine.open(address, settings.model)


def build(open_engine: OpenEngine = open_engine, share: Share = between_windows) -> Server:
    """A server for one client, which is not connected yet."""
    return Server(Session(open_engine, share=share))


def serve(tcp: int | None = None, open_engine: OpenEngine = open_engine, share: Share = between_windows) -> NoReturn:
    """Serve one client over stdio, or on the loopback port `tcp` (0 picks one and logs it), then end the process.

    Raises `DglsError` if the port or its token is unusable or the client speaks no LSP. The process ends without the
    interpreter's teardown, which takes torch a second or two and cannot stop an engine thread that is loading a model.
    """
    with logging_to_stderr():
        try:
            code = asyncio.run(_serve(tcp, open_engine, share))
        except KeyboardInterrupt:
            code = 130
    sys.stderr.flush()
    os._exit(code)


async def _serve(tcp: int | None, open_engine: OpenEngine, share: Share) -> int:
    server = build(open_engine, share)
    protocol = server.conversation
    try:
        with watched(asyncio.get_running_loop(), lambda: server.session.serving):
            if tcp is None:
                await serve_stdio(protocol, protocol.ended, *claim_stdio())
            else:
                token = Token(os.environ.pop(VARIABLE, None))
                await serve_tcp(protocol, protocol.ended, tcp, partial(_listening, token.advice), token.refusal)
    finally:
        server.session.close(CLOSE_SECONDS)
    return protocol.exit_code


def _listening(advice: str, port: int) -> None:
    sys.stderr.write(f"dgls listens on 127.0.0.1:{port}\n{advice}")
    sys.stderr.flush()


def _version() -> str:
    try:
        return version("dgls")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
