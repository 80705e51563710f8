"""Where a server is and how to be let in: checked, and without any secret in it.

Pure; imports nothing heavy and may be used from any thread.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

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
