"""Where code and keys may go, and that a key is told to nobody but the server."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dgls_engine import CancelToken, Context, InfillRequest, Limits, Pinned
from dgls_engine.errors import Cancelled, ServerUnfit
from dgls_engine.remote.address import Address, refusal
from dgls_engine.remote.engine import RemoteEngine
from dgls_engine.text.opened import Opened
from dgls_engine.weights.loader import LoadedModel
from tests.remote.conftest import HASTY, OpenRemote
from tests.remote.fake_vllm import FakeVllm
from tests.remote.requests import request, run

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
def test_address_valid_is_accepted(url: str) -> None:
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
def test_address_invalid_raises(url: str) -> None:
    assert refusal(url)


def test_address_with_path_keeps_prefix_before_v1() -> None:
    assert Address("https://gpu.example/team/v1/").base == "https://gpu.example/team"
    assert Address("https://gpu.example:8000").host == "gpu.example:8000"


def test_key_in_variable_is_sent(scripted: FakeVllm, connect: OpenRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.keys = {SECRET}
    monkeypatch.setenv("TEAM_KEY", SECRET)
    run(connect(scripted, key_variable="TEAM_KEY"), request())
    assert {seen.headers["authorization"] for seen in scripted.seen} == {f"Bearer {SECRET}"}


def test_key_expired_runs_command_again(scripted: FakeVllm, connect: OpenRemote, tmp_path: Path) -> None:
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


def asking_for_a_key(folder: Path, seconds: float = 0.0) -> tuple[str, ...]:
    """A command that leaves a line each time it runs, and prints the key after a while."""
    code = f"open({str(folder / 'runs')!r}, 'a').write('.'); import time; time.sleep({seconds}); "
    return (sys.executable, "-c", code + f"print(open({str(folder / 'key')!r}).read())")


def test_key_expired_for_several_canvases_runs_command_once(
    serve: Callable[[LoadedModel], FakeVllm], connect: OpenRemote, chat: LoadedModel, tmp_path: Path
) -> None:
    server, key = serve(chat), tmp_path / "key"
    server.keys = {"first"}
    key.write_text("first")
    engine = connect(server, chat.folder, key_command=asking_for_a_key(tmp_path))
    server.keys = {"second"}
    key.write_text("second")
    lengths = InfillRequest(Context(), [Pinned("value = "), Opened(max_tokens=8, healed=False)], Limits(max_steps=2))
    run(engine, lengths)
    assert (tmp_path / "runs").read_text() == ".."


def test_key_slow_command_runs_once_while_typing(scripted: FakeVllm, connect: OpenRemote, tmp_path: Path) -> None:
    """The command may ask for a passphrase: not at each keystroke anew."""
    (tmp_path / "key").write_text("slow")
    engine = connect(scripted)
    scripted.keys = {"slow"}
    engine._transport._credentials._address = Address(scripted.url, key_command=asking_for_a_key(tmp_path, 1.0))
    engine._transport._credentials._key = None
    for _ in range(3):
        cancel = CancelToken()
        threading.Timer(0.1, cancel.cancel).start()
        with pytest.raises(Cancelled):
            run(engine, request(), cancel)
    assert run(engine, request())[1].texts[0].startswith("name")
    assert (tmp_path / "runs").read_text() == "."


@pytest.mark.parametrize("names", [{"ALL_PROXY": "socks5://127.0.0.1:9"}, {"SSL_CERT_FILE": "/no/such/file"}])
def test_open_unusable_proxy_or_certificates_raises(monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ServerUnfit, match="the proxy or the certificates"):
        RemoteEngine.open(Address("https://gpu.invalid"), "embedded", HASTY)


def test_error_of_gateway_quoting_key_hides_it(
    scripted: FakeVllm, connect: OpenRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_KEY", SECRET)
    engine = connect(scripted, key_variable="TEAM_KEY")
    scripted.faults.append(f"400 bad key {SECRET}")
    with pytest.raises(ServerUnfit, match=r"refuses the request: bad key \.\.\.$"):
        run(engine, request())


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ({}, "set dgls.engine.apiKeyVariable"),
        ({"key_variable": "NOT_SET"}, "apiKeyVariable names, .* is empty or not set"),
        ({"key_variable": SECRET.replace("-", "_")}, "apiKeyVariable names"),
        ({"key_variable": "WRONG"}, "see what the environment variable WRONG holds"),
        ({"key_variable": "BROKEN"}, "no single word"),
        ({"key_command": ("no-such-program",)}, "could not be run"),
        ({"key_command": (sys.executable, "-c", "raise SystemExit(3)")}, "exit code 3"),
        ({"key_command": (sys.executable, "-c", "")}, "printed nothing"),
    ],
)
def test_key_missing_error_says_what_to_do(
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
    for told in (str(raised.value), caplog.text):
        assert SECRET not in told
        assert SECRET.replace("-", "_") not in told


def test_redirect_does_not_send_key(scripted: FakeVllm, connect: OpenRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends us on gets no further."""
    monkeypatch.setenv("TEAM_KEY", SECRET)
    scripted.faults.extend(["307 http://127.0.0.1:9"] * 3)
    with pytest.raises(ServerUnfit, match="refuses the request"):
        run(connect(scripted, key_variable="TEAM_KEY"), request())
