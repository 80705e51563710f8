"""Requests that the tests of a server share, and what comes of them."""

from __future__ import annotations

from dgls_engine import CancelToken, Context, Infill, InfillRequest, Limits, Pinned, Step
from dgls_engine.remote.engine import RemoteEngine
from dgls_engine.text.opened import Opened


def request(before: str = "import os\n\n\ndef read(path):\n    return ", seed: int = 0, **limits: int) -> InfillRequest:
    """A hole for the rest of a line; nothing in front of it is freed if `before` ends in a space that stands alone."""
    hole = Opened(max_tokens=12, stop="\n", healed=not before.endswith("return "))
    return InfillRequest(Context(), [Pinned(before), hole, Pinned("\n\n\nprint(read('a'))\n")], Limits(**limits), seed)


def run(engine: RemoteEngine, asked: InfillRequest, cancel: CancelToken | None = None) -> tuple[list[Step], Infill]:
    """As the worker does: what an engine has to do is done by the time it gives the `Infill`."""
    steps: list[Step] = []
    for event in engine.infill(asked, cancel):
        if isinstance(event, Infill):
            return steps, event
        steps.append(event)
    raise AssertionError("an engine ends its steps with an Infill")
