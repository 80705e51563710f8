"""Where code and keys may go, and that a key is told to nobody but the server."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from engine.errors import ServerUnfit
from engine.remote.address import Address, refusal
from tests.remote.asked import request, run
from tests.remote.conftest import OpenRemote
from tests.remote.fake_vllm import FakeVllm

SECRET = "sk-0123456789"


@pytest.mark.parametrize(
    "url",
    [
        "https://gpu.example",
        "https://gpu.example:8000/v1/",
        "https://gpu.example/team/vllm",
        "http://localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
    ],
)
def test_taken(url: str) -> None:
    assert refusal(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gpu.example",
        "ftp://gpu.example",
        "https://",
        "http://gpu.example",
        "http://10.0.0.3:8000",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "https://me:key@gpu.example",
        "https://gpu.example?key=1",
        "https://gpu.example#key",
        "https://gpu.example:many",
        "https://gpu example",
        "https://gpu.example/\nHost: other",
    ],
)
def test_refused(url: str) -> None:
    assert refusal(url)


def test_paths_are_put_behind_what_comes_before_v1() -> None:
    assert Address("https://gpu.example/team/v1/").base == "https://gpu.example/team"
    assert Address("https://gpu.example:8000").host == "gpu.example:8000"


def test_key_from_a_variable(scripted: FakeVllm, connect: OpenRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.keys = {SECRET}
    monkeypatch.setenv("TEAM_KEY", SECRET)
    run(connect(scripted, key_variable="TEAM_KEY"), request())
    assert {seen.headers["authorization"] for seen in scripted.seen} == {f"Bearer {SECRET}"}


def test_key_from_a_command_that_is_asked_again_when_it_expired(
    scripted: FakeVllm, connect: OpenRemote, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first")
    scripted.keys = {"first"}
    engine = connect(scripted, key_command=(sys.executable, "-c", f"print(open({str(keys)!r}).read())"))
    run(engine, request())
    scripted.keys = {"second"}
    keys.write_text("second")
    run(engine, request())
    scripted.keys = {"third"}
    with pytest.raises(ServerUnfit, match="does not take the API key: see what its command prints"):
        run(engine, request())


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ({}, "set dgls.engine.apiKeyVariable"),
        ({"key_variable": "NOT_SET"}, "NOT_SET, which should hold"),
        ({"key_variable": "WRONG"}, "see what the environment variable WRONG holds"),
        ({"key_variable": "BROKEN"}, "no single word"),
        ({"key_command": ("no-such-program",)}, "could not be run"),
        ({"key_command": (sys.executable, "-c", "raise SystemExit(3)")}, "exit code 3"),
        ({"key_command": (sys.executable, "-c", "")}, "printed nothing"),
    ],
)
def test_no_key_says_what_to_do_and_never_the_key(
    scripted: FakeVllm,
    connect: OpenRemote,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    address: dict[str, object],
    said: str,
) -> None:
    scripted.keys = {"right"}
    monkeypatch.setenv("WRONG", SECRET)
    monkeypatch.setenv("BROKEN", f"{SECRET}\r\nHost: other")
    with caplog.at_level(logging.DEBUG), pytest.raises(ServerUnfit, match=said) as raised:
        connect(scripted, **address)
    assert SECRET not in str(raised.value)
    assert SECRET not in caplog.text


def test_a_key_is_not_taken_elsewhere(scripted: FakeVllm, connect: OpenRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends us on gets no further."""
    monkeypatch.setenv("TEAM_KEY", SECRET)
    scripted.faults.extend(["307 http://127.0.0.1:9"] * 3)
    with pytest.raises(ServerUnfit, match="refuses the request"):
        run(connect(scripted, key_variable="TEAM_KEY"), request())
