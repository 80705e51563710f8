"""Source files with their holes marked, `<HOLE: what the author wrote>`: the demo's examples, and cases like others.

Pure; knows neither the terminal nor the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MARK = re.compile(r"<HOLE: (.+?)>")


@dataclass(frozen=True, slots=True)
class MarkedSource:
    """`pinned` texts stand around and between the holes, one more than there are; `authored` were in the holes."""

    name: str
    pinned: tuple[str, ...]
    authored: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> MarkedSource:
        pinned, authored = _MARK.split(text)[::2], _MARK.findall(text)
        assert authored, f"{name} marks no hole"
        return cls(name, tuple(pinned), tuple(authored))

    def filled(self, fills: tuple[str, ...]) -> str:
        parts = [text for pair in zip(self.pinned, (*fills, ""), strict=True) for text in pair]
        return "".join(parts)
