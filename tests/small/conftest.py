"""The real small model, from the developer's own cache. Without it these tests are skipped.

`.ci/run` fetches the model and sets DGLS_TESTS_NEED_SMALL, so that there a skip is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from dgls_engine import Engine
from dgls_engine.weights.small import small_folder


@pytest.fixture(scope="module", autouse=True)
def fetched(own_cache: str | None) -> Iterator[None]:
    """The developer's own cache for these tests and their child processes."""
    with pytest.MonkeyPatch.context() as patch:
        if own_cache is None:
            patch.delenv("XDG_CACHE_HOME")
        else:
            patch.setenv("XDG_CACHE_HOME", own_cache)
        if small_folder() is None:
            report = pytest.fail if "DGLS_TESTS_NEED_SMALL" in os.environ else pytest.skip
            report("the small model is not on this machine; `dgls models pull small` fetches it")
        yield


@pytest.fixture(scope="module")
def engine(fetched: None) -> Iterator[Engine]:
    """On one thread: on a busy machine several wait for each other."""
    threads = torch.get_num_threads()
    with Engine.open("small", "cpu", threads=1) as engine:
        yield engine
    torch.set_num_threads(threads)
