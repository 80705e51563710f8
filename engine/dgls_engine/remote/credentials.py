"""An API key, fetched when it is first needed: from an environment variable, or printed by a command.

The key is in no settings, no message and no log; it leaves this object as one header alone. Belongs to the engine
thread; a command runs on a thread of its own, so that a cancel is seen while it does. It may ask the user something, so
one run serves all who wait, and goes on when they don't any more.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping

from dgls_engine.errors import ServerUnfit
from dgls_engine.remote.address import Address

COMMAND_SECONDS = 20.0


class Credentials:
    def __init__(self, address: Address, environment: Mapping[str, str] = os.environ) -> None:
        self._address = address
        self._environment = environment
        self._key: str | None = None
        self._fetching: asyncio.Task[str] | None = None

    @property
    def renewable(self) -> bool:
        """Whether asking again may give another key."""
        return bool(self._address.key_command)

    def forget(self, refused: Mapping[str, str]) -> None:
        """The server didn't take the key in these headers: it may have expired. One fetched since then stays."""
        if self._key is not None and refused == _header(self._key):
            self._key = None

    async def headers(self) -> dict[str, str]:
        """What a request needs; nothing where no key is set up. Raises `ServerUnfit` if it can't be had."""
        if self._key is None:
            fetching = self._fetching = self._fetching or asyncio.ensure_future(self._fetch())
            try:
                self._key = await asyncio.shield(fetching)
            finally:
                if fetching.done() and self._fetching is fetching:
                    self._fetching = None
        return _header(self._key)

    async def _fetch(self) -> str:
        address = self._address
        if address.key_variable:
            key = self._environment.get(address.key_variable, "").strip()
            if not key:
                raise ServerUnfit(  # without the name: it may be the key itself, put in the wrong place
                    "the environment variable that dgls.engine.apiKeyVariable names, for the server's API key, is "
                    "empty or not set where dgls runs: set it, and start the editor anew"
                )
        elif address.key_command:
            key = await asyncio.to_thread(_printed, address.key_command)
        else:
            return ""
        if not (key.isascii() and key.isprintable()) or " " in key:  # its text must not get into an error of HTTP's
            raise ServerUnfit("the server's API key is no single word of ASCII characters: see where it comes from")
        return key


def _header(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _printed(command: tuple[str, ...]) -> str:
    """What a command prints; none of it gets into a message."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=True, text=True
        )
    except subprocess.TimeoutExpired:
        reason = f"did not end within {COMMAND_SECONDS:.0f} s"
    except subprocess.CalledProcessError as error:
        reason = f"failed with exit code {error.returncode}"
    except (OSError, ValueError) as error:
        reason = f"could not be run ({type(error).__name__})"
    else:
        if done.stdout.strip():
            return done.stdout.strip()
        reason = "printed nothing"
    raise ServerUnfit(f"the command that should print the server's API key ({command[0]}) {reason}: run it by hand")
