"""pygls' protocol with the edges that would leave a client without an answer or with a corrupt text filed off.

- Parameters that can't be decoded, messages out of turn (before `initialize`, after `shutdown`) and requests of
  unknown methods without parameters each get an error reply; pygls says nothing.
- Text documents and notebooks are no business of pygls here: its line splitting corrupts texts with form feeds or
  U+2028, so the features keep their own documents.
- `exit` sets an event instead of raising SystemExit through the stack.
- A command is cancelled like any other request: pygls answers that it was, and lets it run on. It is handed its whole
  parameters, its progress token among them.
- An answer of the client to what was cancelled meanwhile is passed over; pygls breaks off the connection.

It knows messages, not what they are for. Runs on the asyncio loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Generator
from typing import Any

from cattrs import BaseValidationError, transform_error
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    LanguageServerProtocol,
    lsp_method,
)

from dgls.errors import BadParameters
from dgls.server.transport import Writer

logger = logging.getLogger(__name__)

_NOT_BY_PYGLS = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
    types.NOTEBOOK_DOCUMENT_DID_OPEN,
    types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE,
    types.EXIT,
)


class Protocol(LanguageServerProtocol):
    """One client's conversation; a `dgls.server.transport.Connection`.

    `ended` is set by the `exit` notification; `exit_code` is 0 after a proper `shutdown`, else 1. `experimental` goes
    out as that field of the server's capabilities.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ended = asyncio.Event()
        self.experimental: object = None
        self._initialized = False
        self.fm.add_builtin_feature(types.EXIT, lambda params: self.ended.set())
        self.fm.add_builtin_feature(types.WORKSPACE_EXECUTE_COMMAND, self._run_command)

    @property
    def exit_code(self) -> int:
        return 0 if self._shutdown else 1

    def _register_builtin_features(self) -> None:
        super()._register_builtin_features()  # type: ignore[no-untyped-call]
        for method in _NOT_BY_PYGLS:
            del self.fm.builtin_features[method]

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """pygls has no way to announce experimental capabilities."""
        result = yield from super().lsp_initialize(params)
        result.capabilities.experimental = self.experimental
        return result

    def connected(self, writer: Writer) -> None:
        self.set_writer(writer)

    def received(self, body: bytes) -> None:
        """Handle one message; a request gets its reply whatever is wrong with it."""
        try:
            data = json.loads(body)
        except ValueError as error:
            self._refuse(None, JsonRpcParseError.of(error))
            return
        if not isinstance(data, dict) or data.get("jsonrpc") != self.VERSION:
            answerable = isinstance(data, dict) and "method" in data
            self._refuse(
                data.get("id") if answerable else None,
                JsonRpcInvalidRequest("not a JSON-RPC 2.0 message"),
            )
            return
        if "method" not in data:
            self._settle(data)
        elif (refusal := self._out_of_turn(data)) is not None:
            if "id" in data:
                self._refuse(data["id"], refusal)
        else:
            self._dispatch(data)

    def _out_of_turn(self, data: dict[str, Any]) -> JsonRpcException | None:
        method = data["method"]
        if method == types.EXIT:
            return None
        if self._shutdown:
            return JsonRpcInvalidRequest("the server was shut down: send `exit` and start a new one")
        if method == types.INITIALIZE:
            return JsonRpcInvalidRequest("the server is initialized already") if self._initialized else None
        if not self._initialized:
            return JsonRpcServerNotInitialized("the first request must be `initialize`")
        return None

    def _dispatch(self, data: dict[str, Any]) -> None:
        try:
            message = self._decode(data)
        except Exception as error:  # whatever a structure hook raises at parameters that it was not made for
            reason = _reasons(error)
            logger.error("Can't decode the parameters of %s: %s", data["method"], reason)
            if "id" in data:
                self._refuse(data["id"], JsonRpcInvalidParams(f"Invalid Params: {reason}"))
            return
        self._initialized |= data["method"] == types.INITIALIZE
        self.handle_message(message)

    def _decode(self, data: dict[str, Any]) -> Any:
        known = self.get_message_type(data["method"])
        if known is not None:
            return self._converter.structure(data, known)
        fallback: Any = JsonRPCRequestMessage if "id" in data else JsonRPCNotification
        wanted = {
            name: data.get(name) for name in ("id", "method", "jsonrpc", "params") if name != "id" or "id" in data
        }
        return self._converter.structure(wanted, fallback)

    def _settle(self, data: dict[str, Any]) -> None:
        """Hand the client's answer to whoever asked; after `shutdown` nobody waits, and pygls would warn of it."""
        if self._shutdown:
            return
        try:
            self.handle_message(self.structure_message(data))
        except JsonRpcException:
            error = types.ResponseError(
                code=JsonRpcParseError.CODE,
                message="the client's answer can't be decoded",
            )
            self._handle_response(data.get("id", ""), error=error)

    async def _run_command(self, params: types.ExecuteCommandParams) -> Any:
        if (handler := self.fm.commands.get(params.command)) is None:
            known = ", ".join(sorted(self.fm.commands))
            raise BadParameters(f"there is no command {params.command!r}; there are {known}")
        return await handler(params)

    def _send_handler_result(self, future: Any, *, msg_id: str | int) -> None:
        """An error that is meant for the client is no trouble of ours: it goes out without a traceback."""
        if not future.cancelled() and isinstance(error := future.exception(), BadParameters):
            self._request_futures.pop(msg_id, None)
            self._refuse(msg_id, JsonRpcInvalidParams(str(error)))
        else:
            super()._send_handler_result(future, msg_id=msg_id)

    def _handle_response(
        self, msg_id: str | int, result: Any | None = None, error: types.ResponseError | None = None
    ) -> None:
        asked = self._request_futures.get(msg_id)
        if asked is not None and asked.cancelled():
            del self._request_futures[msg_id]
        else:
            super()._handle_response(msg_id, result, error)

    def _refuse(self, msg_id: str | int | None, error: JsonRpcException) -> None:
        self._send_data(types.ResponseErrorMessage(id=msg_id, error=error.to_response_error()))


def _reasons(error: Exception) -> str:
    if isinstance(error, BaseValidationError):
        return "; ".join(transform_error(error, path="message"))
    return f"{type(error).__name__}: {error}"
