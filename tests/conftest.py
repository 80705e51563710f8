"""What all tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

# A slow or busy machine is no failure: what must be fast has a test that measures it.
settings.register_profile("dgls", deadline=None)
settings.load_profile("dgls")


@pytest.fixture(scope="session", autouse=True)
def no_own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A developer's own calibration would change what is suggested; child processes inherit this, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        yield
