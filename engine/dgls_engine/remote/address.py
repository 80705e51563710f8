"""Where a server is and how to be let in.

An `Address` is checked and holds no secret; any thread. `Credentials` fetch the API key when it is first needed, from
an environment variable or from a command that prints it. The key is in no settings, no message and no log; it leaves
that object only as a request header. `Credentials` belong to the engine thread. The command runs on a thread of its
own, so that a cancel is seen while it runs. It may ask the user something, so one run serves all requests that wait
for it, and goes on when they no longer wait.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from dgls_engine.errors import ServerUnfit

COMMAND_SECONDS = 20.0

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""How an environment variable may be called; keys look otherwise, mostly."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's `url`, the name that it serves the model by (empty: its only one), and where its API key comes from:
    an environment variable, or a command (program and arguments) that prints it."""

    url: str
    served_model: str = ""
    key_variable: str = ""
    key_command: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        """The URL that paths like `/v1/models` are put behind."""
        return self.url.rstrip("/").removesuffix("/v1").rstrip("/")

    @property
    def host(self) -> str:
        """For people: the host, with the port if the URL has one."""
        return urlsplit(self.url).netloc

    @property
    def loopback(self) -> bool:
        return _loopback(urlsplit(self.url))


def refusal(url: str) -> str | None:
    """Why a URL can't be a server's; None if it can. What leaves the machine is encrypted."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        return "it has to begin with https:// and a host"
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return "it may hold a host, a port and a path only; a key belongs in the environment or comes from a command"
    if parts.scheme == "http" and not _loopback(parts):
        return "it has to be https, unless it is this machine's own (localhost)"
    return None


def _loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
