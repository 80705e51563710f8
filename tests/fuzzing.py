"""How much the fuzzing tests try. `DGLS_FUZZ` scales all of them: it is the number of messages of
`tests/server/test_fuzz.py` (`make fuzz`: a million)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

MESSAGES = int(os.environ.get("DGLS_FUZZ", "3000"))


def fuzzed(each: int = 10) -> settings:
    """The settings of a property that gets one example for `each` messages."""
    return settings(max_examples=max(1, MESSAGES // each), suppress_health_check=list(HealthCheck))
