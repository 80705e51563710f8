"""Fill the holes of a file with the Python interface: python examples/infill.py [FILE]

A hole is marked with <HOLE> and ends with its line. Without FILE the script fills the code below. It shows each step
on standard error and prints the filled code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned, Step
from dgls_engine.types import Segment

MARK = "<HOLE>"
CODE = """\
class Stack:
    def __init__(self):
        self.items = <HOLE>

    def push(self, item):
        self.items.<HOLE>
"""


def segments_of(code: str) -> Iterator[Segment]:
    first, *others = code.split(MARK)
    yield Pinned(first)
    for text in others:
        yield Hole(max_tokens=12, stop="\n")
        yield Pinned(text)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("stack.py")
    code = path.read_text(encoding="utf-8") if len(sys.argv) > 1 else CODE
    if MARK not in code:
        sys.exit(f"{path} holds no {MARK}: mark what is to be filled")
    segments = tuple(segments_of(code))
    request = InfillRequest(Context(path=path.name, language="python"), segments, seed=1)
    with Engine.open("embedded") as engine:
        for answer in engine.infill(request):
            if isinstance(answer, Step):
                drafts = " | ".join(fill.text for fill in answer.fills)
                print(f"step {answer.index}: {drafts}", file=sys.stderr)
            else:
                fills = iter(answer.fills)
                filled = (segment.text if isinstance(segment, Pinned) else next(fills).text for segment in segments)
                print("".join(filled), end="")


if __name__ == "__main__":
    main()
