"""The in-process infilling engine: it knows tokens and tensors, but not LSP.

    from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned

    with Engine.open("embedded") as engine:
        request = InfillRequest(Context(), [Pinned("def add(a, b):\\n    return "), Hole(stop="\\n"), Pinned("\\n")])
        for step in engine.infill(request): ...

Importing this package is cheap: the first access to `Engine` imports torch and transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dgls_engine.types import (
    Blank,
    CancelToken,
    Context,
    Fill,
    Hole,
    Infill,
    InfillRequest,
    Limits,
    Piece,
    Pinned,
    Resume,
    Revise,
    Segment,
    Start,
    Step,
    Timings,
    Trial,
)

if TYPE_CHECKING:
    from dgls_engine.engine import Engine

__all__ = [
    "Blank",
    "CancelToken",
    "Context",
    "Engine",
    "Fill",
    "Hole",
    "Infill",
    "InfillRequest",
    "Limits",
    "Piece",
    "Pinned",
    "Resume",
    "Revise",
    "Segment",
    "Start",
    "Step",
    "Timings",
    "Trial",
]


def __getattr__(name: str) -> object:
    if name == "Engine":
        from dgls_engine.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
