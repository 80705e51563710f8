"""What a request's limits mean for a model: until when it denoises, and in how many steps.

Raises `EngineError` for limits that make no sense. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable

from dgls_engine.errors import EngineError
from dgls_engine.loop.sampler import Schedule
from dgls_engine.loop.stopping import Deadline
from dgls_engine.profile import Profile
from dgls_engine.types import Limits


def deadline_of(limits: Limits, clock: Callable[[], float]) -> Deadline:
    if limits.deadline_ms is not None and limits.deadline_ms < 0:
        raise EngineError(f"a deadline is a number of milliseconds from now, not {limits.deadline_ms}")
    return Deadline(None if limits.deadline_ms is None else limits.deadline_ms / 1000, clock)


def schedule_of(limits: Limits, profile: Profile) -> Schedule:
    steps = profile.max_steps if limits.max_steps is None else limits.max_steps
    if steps < 1:
        raise EngineError(f"denoising takes at least 1 step, not {steps}")
    return Schedule(steps, profile.t_min, profile.t_max)
