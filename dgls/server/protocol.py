"""pygls' protocol without the flaws that leave a client unanswered or corrupt a text.

- Parameters that can't be decoded, messages out of order (before `initialize`, after `shutdown`) and requests of
  unknown methods without parameters get an error reply. pygls sends none.
- The features keep the text documents and notebooks. pygls' line splitting corrupts texts with form feeds or U+2028.
- `exit` sets an event. pygls raises SystemExit through the stack.
- Cancelling a command stops it. pygls answers that it was cancelled and lets it run. A command gets all of its
  parameters, including its progress token.
- The client's answer to a cancelled request is ignored. pygls closes the connection.
- `initialize` announces experimental capabilities.
- Whatever a message holds, it costs that message alone: it is answered if it can be, and logged.

Knows messages, not their meaning. Runs on the asyncio loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from cattrs import BaseValidationError, transform_error
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
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
from dgls.server.frames import LONGEST
from dgls.server.leniency import correct
from dgls.server.transport import Writer

logger = logging.getLogger(__name__)

_WITHOUT_PYGLS = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
    types.NOTEBOOK_DOCUMENT_DID_OPEN,
    types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE,
    types.EXIT,
)
_CHANGED = {
    types.TEXT_DOCUMENT_DID_CHANGE: "textDocument",
    types.NOTEBOOK_DOCUMENT_DID_CHANGE: "notebookDocument",
}


class Protocol(LanguageServerProtocol):
    """The messages of one client; a `dgls.server.transport.Connection`.

    `exit` sets `ended`; `exit_code` is 0 after a `shutdown`, else 1. `experimental` is that field of the server's
    capabilities. `lost` is called with the URI of a document or notebook of which a change cannot be read; None: of an
    unknown one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ended = asyncio.Event()
        self.experimental: object = None
        self.lost: Callable[[str | None], None] = lambda uri: None
        self._initialized = False
        self.fm.add_builtin_feature(types.EXIT, lambda params: self.ended.set())
        self.fm.add_builtin_feature(types.WORKSPACE_EXECUTE_COMMAND, self._run_command)

    @property
    def exit_code(self) -> int:
        return 0 if self._shutdown else 1

    def _register_builtin_features(self) -> None:
        super()._register_builtin_features()  # type: ignore[no-untyped-call]
        for method in _WITHOUT_PYGLS:
            del self.fm.builtin_features[method]

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        result = yield from super().lsp_initialize(params)
        result.capabilities.experimental = self.experimental
        return result

    def connected(self, writer: Writer) -> None:
        self.set_writer(writer)

    def received(self, body: bytes) -> None:
        """Handle one message. A bad request gets an error reply."""
        data: Any = None
        try:
            data = json.loads(body)
            self._receive(data)
        except RecursionError:
            self._fail(data, JsonRpcInvalidRequest("the message is nested too deeply"))
        except ValueError as error:
            self._fail(data, JsonRpcParseError.of(error))
        except Exception as error:
            logger.exception("Can't handle a message")
            self._fail(data, JsonRpcInternalError(f"{type(error).__name__}: {error}"))

    def skipped(self) -> None:
        """A message was too long to be read."""
        self._fail(None, JsonRpcInvalidRequest(f"a message of more than {LONGEST} bytes is not read"))
        self.lost(None)

    def _receive(self, data: Any) -> None:
        answers = isinstance(data, dict) and ("result" in data or "error" in data)
        if not isinstance(data, dict) or data.get("jsonrpc") != self.VERSION:
            self._refuse(None if answers else data, JsonRpcInvalidRequest("not a JSON-RPC 2.0 message"))
        elif answers:
            self._take_answer(data)
        elif not isinstance(data.get("method"), str) or not isinstance(data.get("id", 0), int | str):
            self._refuse(data, JsonRpcInvalidRequest("a method is a string, an id a number or a string"))
        elif (refusal := self._out_of_order(data)) is not None:
            if "id" in data:
                self._refuse(data, refusal)
        else:
            self._dispatch(data)

    def _fail(self, data: Any, error: JsonRpcException) -> None:
        logger.error("A message is dropped: %s", error)
        if not isinstance(data, dict) or "id" in data:
            self._refuse(data, error)

    def _out_of_order(self, data: dict[str, Any]) -> JsonRpcException | None:
        method = data["method"]
        if method == types.EXIT:
            return None
        if self._shutdown:
            return JsonRpcInvalidRequest("the server was shut down: send `exit` and start a new one")
        if method == types.INITIALIZE:
            return JsonRpcInvalidRequest("the server is already initialized") if self._initialized else None
        if not self._initialized:
            return JsonRpcServerNotInitialized("the first request must be `initialize`")
        return None

    def _dispatch(self, data: dict[str, Any]) -> None:
        try:
            correct(data)
            message = self._decode(data)
        except Exception as error:  # structure hooks raise anything for parameters they do not expect
            reason = _reasons(error)
            logger.error("Can't decode the parameters of %s: %s", data["method"], reason)
            if "id" in data:
                self._refuse(data, JsonRpcInvalidParams(f"Invalid Params: {reason}"))
            if data["method"] in _CHANGED:
                self.lost(_uri_in(data, _CHANGED[data["method"]]))
            return
        self._initialized |= data["method"] == types.INITIALIZE
        self.handle_message(message)
        if "id" in data and not hasattr(message, "id"):  # a notification that was sent as a request
            self._send_data({"jsonrpc": self.VERSION, "id": data["id"], "result": None})

    def _decode(self, data: dict[str, Any]) -> Any:
        message_type = self.get_message_type(data["method"])
        if message_type is not None:
            return self._converter.structure(data, message_type)
        fallback: Any = JsonRPCRequestMessage if "id" in data else JsonRPCNotification
        fields = {
            name: data.get(name) for name in ("id", "method", "jsonrpc", "params") if name != "id" or "id" in data
        }
        return fallback(**fields)  # the parameters as they came: pygls would make tuples with names of them

    def _take_answer(self, data: dict[str, Any]) -> None:
        """Pass the client's answer to the waiting request. After `shutdown` none waits; pygls would warn. Nothing waits
        for an id that is no number and no string, nor for that of a request of the client's own, which is a task."""
        id = data.get("id")
        if self._shutdown or not isinstance(id, int | str) or isinstance(self._request_futures.get(id), asyncio.Task):
            return
        try:
            self.handle_message(self.structure_message(data))
        except JsonRpcException:
            error = types.ResponseError(
                code=JsonRpcParseError.CODE,
                message="the client's answer can't be decoded",
            )
            self._handle_response(id, error=error)
        self._result_types.pop(id, None)  # pygls keeps it after an error

    async def _run_command(self, params: types.ExecuteCommandParams) -> Any:
        if (handler := self.fm.commands.get(params.command)) is None:
            known = ", ".join(sorted(self.fm.commands))
            raise BadParameters(f"there is no command {params.command!r}; there are {known}")
        return await handler(params)

    def _execute_handler(self, msg_id: str | int, *arguments: Any, **named: Any) -> None:
        """pygls keeps the futures of notifications' handlers for ever."""
        super()._execute_handler(msg_id, *arguments, **named)
        if (future := self._request_futures.get(msg_id)) is not None:
            # Not at once: at shutdown, pygls cancels futures while it goes through them.
            forget = partial(asyncio.get_running_loop().call_soon, self._request_futures.pop, msg_id, None)
            future.add_done_callback(lambda done: forget())

    def _send_handler_result(self, future: Any, *, msg_id: str | int) -> None:
        """Errors for the client are expected, so they are sent without a traceback in the log."""
        if not future.cancelled() and isinstance(error := future.exception(), BadParameters):
            self._request_futures.pop(msg_id, None)
            self._refuse({"id": msg_id}, JsonRpcInvalidParams(str(error)))
        else:
            super()._send_handler_result(future, msg_id=msg_id)

    def _handle_cancel_notification(self, msg_id: str | int) -> None:
        """A request may be answered while its cancellation is on the way. pygls warns of each."""
        if msg_id in self._request_futures:
            super()._handle_cancel_notification(msg_id)

    def _handle_response(
        self, msg_id: str | int, result: Any | None = None, error: types.ResponseError | None = None
    ) -> None:
        waiting = self._request_futures.get(msg_id)
        if waiting is not None and waiting.cancelled():
            del self._request_futures[msg_id]
        else:
            super()._handle_response(msg_id, result, error)

    def _refuse(self, message: Any, error: JsonRpcException) -> None:
        """Answer a message with an error; null stands for an id that cannot be read."""
        id = message.get("id") if isinstance(message, dict) else None
        known = id if isinstance(id, int | str) else None
        # lsprotocol's converter would leave out an id that is null
        self._send_data({"jsonrpc": self.VERSION, "id": known, "error": error.to_response_error()})


def _uri_in(data: dict[str, Any], name: str) -> str | None:
    """The URI of the document with this name in a message's parameters, if that can be read."""
    params = data.get("params")
    document = params.get(name) if isinstance(params, dict) else None
    uri = document.get("uri") if isinstance(document, dict) else None
    return uri if isinstance(uri, str) else None


def _reasons(error: Exception) -> str:
    if isinstance(error, BaseValidationError):
        return "; ".join(transform_error(error, path="message"))
    return f"{type(error).__name__}: {error}"
