"""How much the fuzzing tests try. `DGLS_FUZZ` scales all of them: it is the number of messages of `tests/server/test_fuzz.py`
(`make fuzz`: a million), and a tenth of it the number of examples of each property."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

MESSAGES = int(os.environ.get("DGLS_FUZZ", "3000"))

fuzzed = settings(max_examples=max(1, MESSAGES // 10), suppress_health_check=list(HealthCheck))
"""The settings of a property that is fuzzed."""
