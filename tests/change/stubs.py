"""The cases in fixtures/stubs, and a model with scripted answers."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dgls.change.passage import Passage, Room
from dgls.code.document import Document
from dgls_engine.types import Fill, Infill, Timings

FIXTURES = Path(__file__).parents[2] / "fixtures" / "stubs"
SMALL = Room(canvas_tokens=95, before_tokens=36, after_tokens=20, hole_tokens=39, instructions=False)
LARGE = Room(canvas_tokens=255, before_tokens=96, after_tokens=64, hole_tokens=95, instructions=True)


@dataclass(frozen=True, slots=True)
class Case:
    """See fixtures/stubs/README.md. `offset` is the cursor's, or None."""

    name: str
    document: Document
    offset: int | None
    replaces: tuple[str, ...]
    fills: tuple[str, ...]
    result: str


def read_cases() -> Iterator[Case]:
    for path in sorted(FIXTURES.glob("*.toml")):
        for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]:
            left, mark, right = case["text"].partition("<CURSOR>")
            assert case.get("none", False) != ("replaces" in case), case["name"]
            yield Case(
                name=f"{path.stem}: {case['name']}",
                document=Document(f"file:///project/{case.get('path', 'untitled')}", 1, path.stem, left + right),
                offset=len(left) if mark else None,
                replaces=tuple(case.get("replaces", ())),
                fills=tuple(case.get("fills", ("x",))),
                result=case.get("result", left + right),
            )


class Script:
    """The model's answers: one text a hole, in turn; the last one repeats."""

    def __init__(self, fills: Sequence[str], confidence: float = 0.5) -> None:
        self._fills = list(fills)
        self._confidence = confidence
        self.passages: list[Passage] = []

    def __call__(self, passage: Passage) -> Infill:
        self.passages.append(passage)
        texts = [self._fills.pop(0) if len(self._fills) > 1 else self._fills[0] for _ in passage.gaps]
        return Infill(
            tuple(Fill(text, (), self._confidence, self._confidence) for text in texts),
            steps=1,
            finish="stable",
            timings=Timings(0.0, 0.0),
            prompt_tokens=0,
            prefilled_tokens=0,
            canvas_tokens=0,
            hole_tokens=0,
        )
