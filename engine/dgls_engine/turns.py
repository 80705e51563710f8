"""Jobs that wait, and whose turn is next: the callers take turns, and each caller's jobs run in order.

The caller that was served longest ago is next, however often it replaces its job meanwhile; a new one comes last. A
caller is an editor window. Knows no engine. `Turns` is not thread-safe: `worker` calls it under its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from dgls_engine.types import CancelToken, InfillRequest, ScoreRequest, Step


@dataclass(frozen=True, slots=True)
class Job:
    """A request, and whom to answer. It may be begun `tries` times."""

    request: InfillRequest | ScoreRequest
    cancel: CancelToken
    key: Hashable
    on_step: Callable[[Step], None] | None
    future: Future[Any]
    caller: Hashable = None
    tries: int = 1

    def start(self) -> bool:
        """False if the future was cancelled."""
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def fail(self, error: BaseException) -> None:
        if self.start():
            self.future.set_exception(error)


class Turns:
    def __init__(self) -> None:
        self._jobs: dict[Hashable, deque[Job]] = {}  # by caller, the one that was served longest ago first

    def __bool__(self) -> bool:
        return any(self._jobs.values())

    def add(self, job: Job) -> None:
        self._jobs.setdefault(job.caller, deque()).append(job)

    def put_back(self, job: Job) -> None:
        """The job runs next: its turn was cut short."""
        jobs = self._jobs.pop(job.caller, deque())
        jobs.appendleft(job)
        self._jobs = {job.caller: jobs, **self._jobs}

    def take(self) -> Job | None:
        for caller, jobs in self._jobs.items():
            if jobs:
                self._jobs[caller] = self._jobs.pop(caller)  # at the end: all others come before its next turn
                return jobs.popleft()
        return None

    def drop(self, caller: Hashable, key: Hashable) -> list[Job]:
        """Remove the caller's jobs with this key, and return them. The caller keeps its turn."""
        jobs = self._jobs.get(caller, deque())
        dropped = [job for job in jobs if job.key == key]
        if dropped:
            self._jobs[caller] = deque(job for job in jobs if job.key != key)
        return dropped

    def leave(self, caller: Hashable) -> list[Job]:
        """Forget the caller, and return its jobs."""
        return list(self._jobs.pop(caller, ()))

    def clear(self) -> list[Job]:
        """Remove all jobs, and return them."""
        return [job for caller in list(self._jobs) for job in self.leave(caller)]
