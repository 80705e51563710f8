"""An engine's answers, written down."""

from __future__ import annotations

from dgls_engine.types import Infill, Timings


def infill_of(*texts: str) -> Infill:
    return Infill(texts, (0.5,) * len(texts), 1, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)
