"""Servers with vLLM's traits over our own models, and engines that use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from dgls_engine.remote.address import Address
from dgls_engine.remote.chat import ChatEngine
from dgls_engine.remote.engine import RemoteEngine
from dgls_engine.remote.transport import Patience
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import chat_checkpoint, raw_checkpoint
from tests.remote.denoisers import Modelled, Scripted
from tests.remote.fake_chat import FakeChat
from tests.remote.fake_vllm import FakeVllm

HASTY = Patience(connect=1.0, answer=5.0, absence=3.0, pause=0.01, longest_pause=0.1)

OpenRemote = Callable[..., RemoteEngine]
OpenChat = Callable[..., ChatEngine]


@pytest.fixture(scope="session")
def embedded() -> LoadedModel:
    return load("embedded", "cpu")


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Prompted like the published model; a random one that has clear favourites."""
    return load(chat_checkpoint(tmp_path_factory.mktemp("chat"), sharpness=100.0), "cpu")


@pytest.fixture(scope="session")
def flat(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random model to which every token is about as likely."""
    return load(raw_checkpoint(tmp_path_factory.mktemp("flat")), "cpu")


@pytest.fixture
def serve() -> Iterator[Callable[[LoadedModel], FakeVllm]]:
    """Starts a server that runs a model."""
    torch.manual_seed(0)
    started: list[FakeVllm] = []

    def start(loaded: LoadedModel) -> FakeVllm:
        started.append(FakeVllm(Modelled(loaded), loaded.profile.canvas_tokens))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def scripted() -> Iterator[FakeVllm]:
    """A server that writes `name` wherever it may."""
    tokenizer = Tokenizer(embedded_folder() / "tokenizer.json")
    denoiser = Scripted(tokenizer, tokenizer.encode("name"), tokenizer.size)
    with FakeVllm(denoiser, 96) as server:
        yield server


@pytest.fixture
def connect() -> Iterator[OpenRemote]:
    """Opens engines on a server."""
    opened: list[RemoteEngine] = []

    def open_remote(server: FakeVllm, model: str | Path = "embedded", **address: object) -> RemoteEngine:
        opened.append(RemoteEngine.open(Address(server.url, **address), model, HASTY))  # type: ignore[arg-type]
        return opened[-1]

    yield open_remote
    for engine in opened:
        engine.close()


@pytest.fixture
def chatting() -> Iterator[FakeChat]:
    """A chat server that answers `name`."""
    with FakeChat() as server:
        yield server


@pytest.fixture
def converse() -> Iterator[OpenChat]:
    """Opens engines on a chat server."""
    opened: list[ChatEngine] = []

    def open_chat(server: FakeChat, **address: object) -> ChatEngine:
        opened.append(ChatEngine.open(Address(server.url, **address), HASTY))  # type: ignore[arg-type]
        return opened[-1]

    yield open_chat
    for engine in opened:
        engine.close()
