"""A scripted engine, and a file that it rewrites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

from dgls_engine.calibration import Calibration
from dgls_engine.types import CancelToken, Fill, Hole, Infill, InfillRequest, Piece, Step, Timings

SUMS = "def add(a, b):\n    c = a + b\n    return c\n\n\ndef sub(a, b):\n    return a - b\n"
DIFF = """\
--- sums.py
+++ sums.py
@@ -1,6 +1,5 @@
 def add(a, b):
-    c = a + b
-    return c
+    return a + b
 
 
 def sub(a, b):
"""
NEW = SUMS.replace("c = a + b\n    return c", "return a + b")

Write = Callable[[InfillRequest], list[str]]


@dataclass
class ScriptedEngine:
    """`write` returns the texts of a request's holes. Also replaces the class `Engine`: `open` returns the object."""

    write: Write
    confidence: float = 0.5
    opened: list[str] = field(default_factory=list)
    dtypes: list[str] = field(default_factory=list)
    requests: list[InfillRequest] = field(default_factory=list)
    closed: bool = False
    info: Any = field(default_factory=lambda: SimpleNamespace(name="scripted", device="nowhere"))
    profile: Any = field(default_factory=lambda: SimpleNamespace(calibration=Calibration(), continues=False))

    def open(self, model: str, dtype: str, threads: int) -> Self:
        self.opened.append(model)
        self.dtypes.append(dtype)
        return self

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        self.requests.append(request)
        texts = self.write(request)
        assert len(texts) == sum(isinstance(segment, Hole) for segment in request.segments)
        for index in (1, 2):
            yield Step(index, tuple(Fill(text, (Piece(text, 1.0, 0.5),), None, 1.0) for text in texts), 0.5)
        yield Infill(
            tuple(Fill(text, (), self.confidence, self.confidence) for text in texts),
            2,
            "stable",
            Timings(1.0, 2.0),
            9,
            9,
            9,
            9,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


def drafted(request: InfillRequest) -> list[str]:
    """The draft of each hole, unchanged."""
    return [getattr(segment.start, "text", "") for segment in request.segments if isinstance(segment, Hole)]
