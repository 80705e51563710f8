"""Scripted answers of an engine."""

from __future__ import annotations

from dgls_engine.types import Fill, Infill, Timings


def infill_of(*texts: str) -> Infill:
    return Infill(tuple(Fill(text, (), 0.5, 0.5) for text in texts), 1, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)
