"""`dgls demo`: show how the default model fills one line of each function in five example files.

A hole is what people type most, a line. The rule that picked them: the last line of each function's body, without its
indentation. The examples were written for this demo, so no model was trained on them, and stay as they are whatever
the model makes of them. For each hole the model sees the rest of the file as its author wrote it.

A terminal shows the engine's draft at each step, with uncertain tokens dimmed. Without a terminal, or for a picture,
the demo lists some of the steps instead.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from dgls.cli.models import chosen
from dgls.cli.terminal import drawn
from dgls.code.document import Document
from dgls.code.languages import language_of
from dgls.code.window import after_end, before_start, estimate_tokens
from dgls.errors import DglsError
from dgls.evaluation.cases.case import Case
from dgls.evaluation.cases.fixtures import MarkedSource, marked_cases
from dgls_engine import Context, Engine, Fill, Hole, Infill, InfillRequest, Piece, Pinned, Segment, Step
from dgls_engine.device import spare_threads
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.weights.auto import AUTO

EXAMPLES = ("library.py", "rainfall.py", "slug.py", "basket.js", "stack.c")
SEED = 1
HOLE_TOKENS = 24
"""More than the examples leave out; a fill ends at the end of its line."""

LISTED = 4
"""The number of steps listed for a hole, from the first to the last."""

PINNED = "default"
PAUSE = 0.06
"""Seconds to pause after each drawn step, so that people see it. Not part of the times shown."""

_NOTHING_YET = Fill("\u2026", (Piece("\u2026", 0.0, float("inf")),), None, 0.0)


@dataclass(frozen=True, slots=True)
class Played:
    """A filled hole: the author's text, the steps, the infill, and the engine's milliseconds."""

    authored: str
    steps: tuple[Step, ...]
    infill: Infill
    ms: float

    @property
    def fill(self) -> Fill:
        (fill,) = self.infill.fills
        return fill

    @property
    def exact(self) -> bool:
        return self.fill.text.rstrip() == self.authored


def run(options: Namespace) -> int:
    picture = Path(options.svg) if options.svg else None
    if picture is not None and not picture.parent.is_dir():
        raise DglsError(f"{picture.parent} is no folder; choose where the picture goes")
    if picture is not None and picture.is_dir():
        raise DglsError(f"{picture} is a folder; name the picture's file")
    console = Console(highlight=False, record=picture is not None, width=96 if picture is not None else None)
    animated = console.is_terminal and not console.is_dumb_terminal and picture is None
    model = chosen(AUTO)
    with console.status("Loading the model ...") if animated else nullcontext():
        engine = Engine.open(model, threads=options.threads or spare_threads())
    with engine:
        played = [hole for source in examples() for hole in play(engine, source, console, animated)]
        console.print(_totals(played, engine.info))
    if picture is not None:
        console.save_svg(str(picture), title="dgls demo")
    return 0


def examples() -> tuple[MarkedSource, ...]:
    folder = files("dgls.cli") / "examples"
    return tuple(MarkedSource.parse(name, (folder / name).read_text(encoding="utf-8")) for name in EXAMPLES)


def play(engine: Engine, source: MarkedSource, console: Console, animated: bool) -> tuple[Played, ...]:
    """Fill the holes of one example, one after the other; `animated` redraws the example at each step."""
    console.rule(f"[bold]{source.name}", align="left", style="dim")
    played: list[Played] = []
    with Live(console=console, auto_refresh=False) if animated else nullcontext() as live:
        for case in marked_cases(source):
            played.append(_fill(engine, case, source, played, live))
        if live is not None:
            live.update(_frame(source, [hole.fill for hole in played]), refresh=True)
    if not animated:
        console.print(_frame(source, [hole.fill for hole in played]))
        console.print(_listing(played))
    console.print(_summary(played))
    return tuple(played)


def _fill(engine: Engine, case: Case, source: MarkedSource, before: Sequence[Played], live: Live | None) -> Played:
    """Fill one hole. `before`: the holes above it."""
    above = [hole.fill for hole in before]
    if live is not None:
        live.update(_frame(source, [*above, _NOTHING_YET]), refresh=True)
    steps: list[Step] = []
    spent = 0.0
    events = engine.infill(_request(case, engine.profile))
    while True:
        started = time.perf_counter()
        event = next(events)
        spent += time.perf_counter() - started
        if isinstance(event, Infill):
            return Played(case.answer, tuple(steps), event, spent * 1000)
        steps.append(event)
        if live is not None:
            live.update(_frame(source, [*above, *event.fills]), refresh=True)
            time.sleep(PAUSE)


def _request(case: Case, profile: Profile) -> InfillRequest:
    """One hole; the code that does not fit into the canvas goes into the prompt."""
    document = Document(case.path, 0, case.language, case.prefix + case.answer + case.suffix)
    language, text = language_of(case.language), document.text
    first, last = len(case.prefix), len(case.prefix) + len(case.answer)
    start = before_start(document, first, language, profile.around_tokens[0], estimate_tokens)
    end = after_end(document, last, language, profile.around_tokens[1], estimate_tokens)
    hole = Hole(max_tokens=HOLE_TOKENS, stop="\n")
    segments: list[Segment] = [Pinned(text[start:first]), hole, Pinned(text[last:end])]
    return InfillRequest(Context(case.path, case.language, text[:start], text[end:]), segments, seed=SEED)


def _frame(source: MarkedSource, fills: Sequence[Fill]) -> Padding:
    """The file with the holes filled so far, and the author's text in the others."""
    text = Text(source.pinned[0], PINNED)
    for number, (authored, pinned) in enumerate(zip(source.authored, source.pinned[1:], strict=True)):
        text.append_text(drawn(fills[number]) if number < len(fills) else Text(authored, PINNED))
        text.append(pinned, PINNED)
    text.rstrip()
    return Padding(text, (0, 0, 0, 2), expand=False)


def _listing(played: Sequence[Played]) -> Padding:
    """The drafts of each hole at some of its steps."""
    lines = Text("\n", no_wrap=True, overflow="ellipsis")
    for number, hole in enumerate(played, 1):
        for step in _some(hole.steps):
            lines.append(f"hole {number}  step {step.index:2}  {step.entropy:5.2f} nats  ", "dim")
            lines.append_text(_one_line(step.fills[0])).append("\n")
    lines.rstrip()
    return Padding(lines, (0, 0, 0, 2), expand=False)


def _some(steps: Sequence[Step]) -> list[Step]:
    """`LISTED` steps at most, evenly spaced, with the first and the last."""
    count = min(LISTED, len(steps))
    return [steps[round(number * (len(steps) - 1) / max(1, count - 1))] for number in range(count)]


def _one_line(draft: Fill) -> Text:
    pieces = tuple(replace(piece, text=piece.text.replace("\n", "\u21b5")) for piece in draft.pieces)
    return drawn(replace(draft, pieces=pieces))


def _summary(played: Sequence[Played]) -> Padding:
    """A line for each hole: the time, the confidence, and the author's text if it differs."""
    lines = []
    for number, hole in enumerate(played, 1):
        sure = "" if hole.fill.confidence is None else f", {hole.fill.confidence:.2f} sure"
        author = "as the author wrote it" if hole.exact else f"the author wrote {hole.authored}"
        lines.append(f"hole {number}: {hole.infill.steps} steps, {hole.ms:.0f} ms{sure}; {author}")
    return Padding(Text("\n".join(lines), "dim"), (1, 0, 1, 2), expand=False)


def _totals(played: Sequence[Played], info: ModelInfo) -> Padding:
    exact = sum(hole.exact for hole in played)
    mean_ms = sum(hole.ms for hole in played) / len(played)
    text = Text.assemble(
        (f"{exact} of {len(played)} lines as their authors wrote them", "bold"),
        f", {mean_ms:.0f} ms a line: {info.name} model ({info.parameters / 1e6:.1f} M parameters), {info.device_name}",
    )
    return Padding(text, (0, 0, 1, 2), expand=False)
