"""The real small model for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dgls_engine import Engine
from tests.small.fetched import developers_cache


@pytest.fixture(scope="module", autouse=True)
def fetched(own_cache: str | None) -> Iterator[None]:
    with developers_cache(own_cache):
        yield


@pytest.fixture(scope="module")
def engine(fetched: None) -> Iterator[Engine]:
    """On one thread: on a busy machine several wait for each other."""
    threads = torch.get_num_threads()
    with Engine.open("small", "cpu", threads=1) as engine:
        yield engine
    torch.set_num_threads(threads)
