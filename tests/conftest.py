"""What all tests share."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import settings

# Triton reads these when it is first imported, which any test may bring about. Where there is no GPU its kernels are
# interpreted; compiled they are in a child process that does not inherit it (`tests.kernels.compiling`).
if find_spec("triton") is not None:
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
    # Some versions warn unless they are told; what they then do is the same.
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

# A slow or busy machine is no failure: what must be fast has a test that measures it.
settings.register_profile("dgls", deadline=None)
settings.load_profile("dgls")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """A developer's own calibration and models would change what is suggested, so tests and their child processes get
    empty folders. Yields the developer's XDG_CACHE_HOME, for the tests of a model that was fetched (`tests/small`)."""
    before = os.environ.get("XDG_CACHE_HOME")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield before
