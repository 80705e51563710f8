"""Planning text that is too long for one canvas takes no more time the longer the text is."""

from dgls.change.offer import start
from dgls.change.passage import LONGEST_TOKEN, Passage, Room, carry_out
from dgls.change.task import Action, Task
from dgls.code.document import Document, Span
from dgls_engine.types import Infill
from tests.change.scripted import infill_of


def test_canvases_very_long_line_counts_one_canvas_of_text() -> None:
    longest = 0

    def count(text: str) -> int:
        nonlocal longest
        longest = max(longest, len(text))
        return -(-len(text) // 3)

    def infill(passage: Passage) -> Infill:
        return infill_of(*(passage.document.text[gap.span.start : gap.span.end] for gap in passage.gaps))

    text = f"x = [{', '.join(map(str, range(2000)))}]\n"
    for instruction, action in (("", Action.REFINE), ("", Action.REWRITE), ("shorter", Action.REWRITE)):
        room = Room(90, 30, 30, 40, instructions=True, count=count)
        task = Task(action, Span(0, len(text)), instruction)
        carry_out(start(task, Document("untitled:1", 1, "python", text), room, None), infill)
    assert 0 < longest <= LONGEST_TOKEN * 90
