"""An API key, fetched when it is first needed: from an environment variable, or printed by a command.

The key is in no settings, no message and no log; it leaves this object as one header alone. Belongs to the engine
thread; a command runs on a thread of its own, so that a cancel is seen while it does.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping

from engine.errors import ServerUnfit
from engine.remote.address import Address

COMMAND_SECONDS = 20.0


class Credentials:
    def __init__(self, address: Address, environment: Mapping[str, str] = os.environ) -> None:
        self._address = address
        self._environment = environment
        self._key: str | None = None

    @property
    def renewable(self) -> bool:
        """Whether asking again may give another key."""
        return bool(self._address.key_command)

    def forget(self) -> None:
        """The server didn't take the key: it may have expired."""
        self._key = None

    async def headers(self) -> dict[str, str]:
        """What a request needs; nothing where no key is set up. Raises `ServerUnfit` if it can't be had."""
        if self._key is None:
            self._key = await self._fetch()
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    async def _fetch(self) -> str:
        address = self._address
        if address.key_variable:
            key = self._environment.get(address.key_variable, "").strip()
            if not key:
                raise ServerUnfit(
                    f"the environment variable {address.key_variable}, which should hold the server's API key, is "
                    "empty or not set where dgls runs: set it, and start the editor anew"
                )
        elif address.key_command:
            key = await asyncio.to_thread(_printed, address.key_command)
        else:
            return ""
        if not (key.isascii() and key.isprintable()) or " " in key:  # its text must not get into an error of HTTP's
            raise ServerUnfit("the server's API key is no single word of ASCII characters: see where it comes from")
        return key


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
