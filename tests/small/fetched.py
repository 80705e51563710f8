"""The small model from the developer's own cache, for tests; without it they are skipped.

`.ci/run` fetches the model and sets DGLS_TESTS_NEED_SMALL, so that there a skip is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dgls_engine.weights.small import small_folder

MISSING = "the small model is not on this machine; `dgls models pull small` fetches it"


@contextmanager
def developers_cache(own_cache: str | None) -> Iterator[None]:
    """The developer's own cache for the tests inside and their child processes. `own_cache`: the fixture's value."""
    with pytest.MonkeyPatch.context() as patch:
        if own_cache is None:
            patch.delenv("XDG_CACHE_HOME")
        else:
            patch.setenv("XDG_CACHE_HOME", own_cache)
        if small_folder() is None:
            report = pytest.fail if "DGLS_TESTS_NEED_SMALL" in os.environ else pytest.skip
            report(MISSING)
        yield
