"""Who may use a TCP port: the client whose `initialize` names the port's token.

Every user and every web page of this machine can connect to a loopback port, and the server reads the user's files.
Pure; knows `initialize` and no other message.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping

from pygls.exceptions import JsonRpcInvalidRequest

from dgls.errors import UnusableToken
from dgls.server.settings import own_options

VARIABLE = "DGLS_TCP_TOKEN"
OPTION = "tcpToken"

SHORTEST = 16
"""Characters of a token that cannot be guessed."""


class Token:
    """A port's token: the value of the environment variable if there is one, else a new random one.

    Raises `UnusableToken` if the variable's value could be guessed.
    """

    def __init__(self, given: str | None) -> None:
        if given is not None and len(given) < SHORTEST:
            raise UnusableToken(f"{VARIABLE} needs at least {SHORTEST} characters. Without it, dgls makes a token.")
        self._secret = given or secrets.token_urlsafe(24)
        self.advice = "" if given else f'The client\'s initializationOptions need "{OPTION}": "{self._secret}"\n'

    def refusal(self, body: bytes) -> bytes | None:
        """The answer to a client's first message if it may not use the port; None if it may."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, Mapping):
            message = {}
        if message.get("method") == "initialize" and self._names_it(message.get("params")):
            return None
        id = message.get("id")
        error = {
            "code": JsonRpcInvalidRequest.CODE,
            "message": f"initializationOptions need the {OPTION} that the server printed, or the one in {VARIABLE}",
        }
        return json.dumps({"jsonrpc": "2.0", "id": id if isinstance(id, int | str) else None, "error": error}).encode()

    def _names_it(self, params: object) -> bool:
        options = own_options(params.get("initializationOptions")) if isinstance(params, Mapping) else {}
        return secrets.compare_digest(str(options.get(OPTION)).encode("utf-8", "replace"), self._secret.encode())
