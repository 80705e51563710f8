"""One server's connections: requests go out, are tried again where that may help, and end when they are given up.

A request that is given up (its task is cancelled) closes its stream, and the server stops working for it. Overload
and broken connections are waited out with growing pauses, as long as the caller's time allows; what a server refuses
for good is told at once. Knows HTTP, and of `wire` its errors alone; runs in the event loop of the engine thread.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

import httpx2

from dgls_engine.errors import ServerUnfit, ServerUnreachable
from dgls_engine.remote import wire
from dgls_engine.remote.address import Address, Credentials

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Headers = Mapping[str, str]

_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Statuses after which the same request may succeed."""

_LONGEST_ANSWER = 2**25
"""Bytes; what a server sends beyond that is no answer to anything we ask."""


class Gathering(Protocol[T_co]):
    """Puts the lines of one streamed answer together. Both raise `wire.Malformed`, `take` also `wire.Refused`."""

    def take(self, line: str) -> None: ...

    def told(self) -> T_co:
        """The answer, once the stream has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection, for an answer in all, and for a server that can't be reached or is overloaded.
    `pause` is the first between two tries; each is twice as long as the one before, to `longest_pause`. A server that
    answers wrongly gets `tries`."""

    connect: float = 3.0
    answer: float = 60.0
    absence: float = 10.0
    pause: float = 0.1
    longest_pause: float = 2.0
    tries: int = 3


class Transport:
    """`trouble`: why the last try failed; empty if it didn't, or was of a request that is over."""

    def __init__(self, address: Address, credentials: Credentials, patience: Patience) -> None:
        self.address, self._credentials, self._patience = address, credentials, patience
        self.trouble = ""
        self._client = _client(address, patience)

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> dict[str, Any]:
        """JSON that the server has at `path`. Raises `wire.Refused` for a status that is not 200, `ServerUnreachable`
        and `ServerUnfit`."""
        return await self._patiently(lambda headers: self._json("GET", path, None, headers))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the server answers to `body`. Raises as `get` does."""
        return await self._patiently(lambda headers: self._json("POST", path, body, headers))

    async def if_there(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What the server has at a path that it need not have; one try, and None if that fails."""
        with suppress(wire.Refused, wire.Malformed, httpx2.HTTPError, TimeoutError):
            async with asyncio.timeout(self._patience.connect):
                return await self._json(method, path, body, await self._credentials.headers())
        return None

    async def stream(self, path: str, body: dict[str, Any], gathering: Callable[[], Gathering[T]]) -> T:
        """The streamed answer to `body`; each try gets its own `gathering`. Raises `ServerUnreachable` and
        `ServerUnfit`."""
        try:
            return await self._patiently(lambda headers: self._stream(path, body, gathering(), headers))
        except wire.Refused as refused:
            raise ServerUnfit(f"the server at {self.address.host} refuses the request: {refused.message}") from None

    async def _json(self, method: str, path: str, body: dict[str, Any] | None, headers: Headers) -> dict[str, Any]:
        async with self._client.stream(method, self.address.base + path, json=body, headers=headers) as response:
            if response.status_code != 200:
                raise await _refusal(response, headers)
            return wire.parsed((await _whole(response)).decode("utf-8", "replace"))

    async def _stream(self, path: str, body: dict[str, Any], gathering: Gathering[T], headers: Headers) -> T:
        async with self._client.stream("POST", self.address.base + path, json=body, headers=headers) as response:
            if response.status_code != 200:
                raise await _refusal(response, headers)
            line = bytearray()
            async for part in _parts(response):
                line += part
                if b"\n" in part:
                    *lines, line = line.split(b"\n")
                    for whole in lines:
                        gathering.take(whole.decode("utf-8", "replace"))
        return gathering.told()

    async def _patiently(self, attempt: Callable[[Headers], Awaitable[T]]) -> T:
        """The first success of several tries, `wire.Refused` for what no further one would change."""
        clock = asyncio.get_running_loop().time
        began, pause, tries, host, renewed = clock(), self._patience.pause, 0, self.address.host, False
        self.trouble = ""
        while True:
            tries, least, headers = tries + 1, 0.0, await self._credentials.headers()
            try:
                async with asyncio.timeout(self._patience.answer):
                    answer = await attempt(headers)
                self.trouble = ""
                return answer
            except TimeoutError:
                raise ServerUnreachable(
                    f"the server at {host} did not answer within {self._patience.answer:g} s; is it overloaded?"
                ) from None
            except wire.Malformed as error:
                reason, patient = f"the server at {host} gives answers that can't be used: {error}", False
            except httpx2.InvalidURL as error:
                raise ServerUnfit(f"{self.address.url} can't be used as a server's URL: {error}") from None
            except httpx2.HTTPError as error:
                reason, patient = f"the server at {host} can't be reached ({_reason(error)})", True
            except wire.Refused as refused:
                if refused.status in (401, 403):
                    self._credentials.forget(headers)
                    if renewed or not self._credentials.renewable:
                        raise ServerUnfit(_refused_key(self.address)) from None
                    renewed = True
                    continue
                if refused.status not in _PASSING:
                    raise
                least, patient = refused.retry_after or 0.0, refused.status != 500
                reason = f"the server at {host} answers {refused.status}: {refused.message}"
            self.trouble = reason
            wait = max(least, pause * random.uniform(0.5, 1.0))  # a team's editors shall not all come back together
            left = began + self._patience.absence - clock()
            if wait > left or (not patient and tries >= self._patience.tries):
                later = f"; it asks to be left alone for {least:g} s" if least else "; try again later"
                raise ServerUnreachable(reason + later)
            await asyncio.sleep(wait)
            pause = min(2 * pause, self._patience.longest_pause)


def _client(address: Address, patience: Patience) -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(patience.answer, connect=patience.connect)
    try:  # a proxy for the world outside is none for this machine
        return httpx2.AsyncClient(
            timeout=timeout,
            headers={"Accept-Encoding": "identity"},  # a compressed answer has no size until it is unpacked
            trust_env=not address.loopback,
            follow_redirects=False,
        )
    except (ImportError, ValueError, OSError) as error:
        raise ServerUnfit(
            f"the proxy or the certificates that the environment names can't be used ({_reason(error)}): see "
            "HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None


async def _refusal(response: httpx2.Response, headers: Headers) -> wire.Refused:
    text = (await _whole(response)).decode("utf-8", "replace")
    if sent := headers.get("Authorization", "").removeprefix("Bearer "):
        text = text.replace(sent, "...")  # some gateways quote the key that they don't like
    try:
        message, _ = wire.error_in(wire.parsed(text))
    except wire.Malformed:
        message = " ".join(text.split())[:100] or response.reason_phrase
    return wire.Refused(response.status_code, message, _seconds(response.headers.get("Retry-After")))


async def _whole(response: httpx2.Response) -> bytes:
    return b"".join([part async for part in _parts(response)])


async def _parts(response: httpx2.Response) -> AsyncIterator[bytes]:
    size = 0
    async for part in response.aiter_bytes():
        if (size := size + len(part)) > _LONGEST_ANSWER:
            raise wire.Malformed("an answer has no end")
        yield part


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds from now: a number, or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(retry_after))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    return None


def _reason(error: Exception) -> str:
    """Why a connection failed, in few words."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _refused_key(address: Address) -> str:
    if address.key_variable:
        where = f"see what the environment variable {address.key_variable} holds"
    elif address.key_command:
        where = "see what its command prints"
    else:
        where = "set dgls.engine.apiKeyVariable or dgls.engine.apiKeyCommand"
    return f"the server at {address.host} does not take the API key: {where}"
