"""Frames from any chunks of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.errors import BrokenFrame
from dgls.server.frames import HEADER_LIMIT, Frames


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 30), max_size=30))
def test_feed_with_any_chunks_returns_the_bodies(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frame(body) for body in bodies)
    frames, out = Frames(), []
    for cut in [*cuts, len(stream) + 1]:
        out += frames.feed(stream[:cut])
        stream = stream[cut:]
    assert out == bodies


def test_feed_ignores_other_headers_and_case() -> None:
    header = b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:2 \r\n\r\n{}"
    assert list(Frames().feed(header)) == [b"{}"]


@pytest.mark.parametrize("stream", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * (HEADER_LIMIT + 1)])
def test_feed_of_another_protocol_raises(stream: bytes) -> None:
    with pytest.raises(BrokenFrame):
        list(Frames().feed(stream))
