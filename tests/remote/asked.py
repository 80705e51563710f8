"""Requests that the tests of a server share, and what comes of them."""

from __future__ import annotations

from engine import CancelToken, Context, Hole, Infill, InfillRequest, Limits, Pinned, Step
from engine.remote.engine import RemoteEngine


def request(before: str = "import os\n\n\ndef read(path):\n    return ", seed: int = 0, **limits: int) -> InfillRequest:
    """A hole for the rest of a line; nothing in front of it is freed if `before` ends in a space that stands alone."""
    hole = Hole(max_tokens=12, stop="\n", healed=not before.endswith("return "))
    return InfillRequest(Context(), [Pinned(before), hole, Pinned("\n\n\nprint(read('a'))\n")], Limits(**limits), seed)


def run(engine: RemoteEngine, asked: InfillRequest, cancel: CancelToken | None = None) -> tuple[list[Step], Infill]:
    *steps, infill = engine.infill(asked, cancel)
    assert isinstance(infill, Infill)
    assert all(isinstance(step, Step) for step in steps)
    return steps, infill  # type: ignore[return-value]
