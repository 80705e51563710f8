"""What all tests share."""

from hypothesis import settings

# A slow or busy machine is no failure: what must be fast has a test that measures it.
settings.register_profile("dgls", deadline=None)
settings.load_profile("dgls")
