"""`dgls demo`: show how the embedded model fills the holes of three example files.

A terminal shows the engine's draft at each step, with uncertain tokens dimmed. Without a terminal, or for a picture,
the demo lists the steps instead.
"""

from __future__ import annotations

import time
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from dgls.cli.terminal import drawn
from dgls.code.document import Document
from dgls.code.languages import language_of
from dgls.code.window import after_end, before_start, estimate_tokens
from dgls.errors import DglsError
from dgls.evaluation.cases.fixtures import MarkedSource
from dgls_engine import Context, Engine, Fill, Hole, Infill, InfillRequest, Piece, Pinned, Step
from dgls_engine.profile import ModelInfo, Profile

EXAMPLES = ("ticket.py", "weather.py", "trails.py")
SEED = 1
HOLE_TOKENS = 16
"""More than the examples leave out; the model pads the rest."""

PINNED = "default"
PAUSE = 0.06
"""Seconds to pause after each drawn step, so that people see it. Not part of the times shown."""


@dataclass(frozen=True, slots=True)
class Played:
    """A finished example: its steps, its infill, and the engine's milliseconds."""

    steps: tuple[Step, ...]
    infill: Infill
    ms: float


def run(options: Namespace) -> int:
    picture = Path(options.svg) if options.svg else None
    if picture is not None and not picture.parent.is_dir():
        raise DglsError(f"{picture.parent} is no folder; choose where the picture goes")
    if picture is not None and picture.is_dir():
        raise DglsError(f"{picture} is a folder; name the picture's file")
    console = Console(highlight=False, record=picture is not None, width=96 if picture is not None else None)
    animated = console.is_terminal and not console.is_dumb_terminal and picture is None
    with console.status("Loading the model ...") if animated else nullcontext():
        engine = Engine.open()
    with engine:
        for source in examples():
            play(engine, source, console, animated)
    if picture is not None:
        console.save_svg(str(picture), title="dgls demo")
    return 0


def examples() -> tuple[MarkedSource, ...]:
    folder = files("dgls.cli") / "examples"
    return tuple(MarkedSource.parse(name, (folder / name).read_text(encoding="utf-8")) for name in EXAMPLES)


def play(engine: Engine, source: MarkedSource, console: Console, animated: bool) -> Played:
    """Fill one example on the console; `animated` redraws it at each step."""
    console.rule(f"[bold]{source.name}", align="left", style="dim")
    noise = tuple(Fill("\u2026", (Piece("\u2026", 0.0, float("inf")),), None, 0.0) for _ in source.authored)
    with Live(_frame(source, noise), console=console, auto_refresh=False) if animated else nullcontext() as live:
        steps: list[Step] = []
        spent = 0.0
        events = engine.infill(_request(source, engine.profile))
        while True:
            started = time.perf_counter()
            event = next(events)
            spent += time.perf_counter() - started
            if isinstance(event, Infill):
                break
            steps.append(event)
            if live is not None:
                live.update(_frame(source, event.fills), refresh=True)
                time.sleep(PAUSE)
        if live is not None:
            live.update(_frame(source, event.fills), refresh=True)
    played = Played(tuple(steps), event, spent * 1000)
    if not animated:
        console.print(_frame(source, event.fills))
        console.print(_listing(played.steps))
    console.print(_summary(source, played, engine.info))
    return played


def _request(source: MarkedSource, profile: Profile) -> InfillRequest:
    """The whole example in one request; the code that does not fit into the canvas goes into the prompt."""
    document = Document(source.name, 0, "python", source.filled(source.authored))
    language = language_of("python")
    first = len(source.pinned[0])
    last = len(document.text) - len(source.pinned[-1])
    start = before_start(document, first, language, profile.around_tokens[0], estimate_tokens)
    end = after_end(document, last, language, profile.around_tokens[1], estimate_tokens)
    text = document.text
    pinned = [text[start:first], *source.pinned[1:-1], text[last:end]]
    hole = Hole(max_tokens=HOLE_TOKENS, stop="\n")
    segments = [segment for text in pinned for segment in (Pinned(text), hole)][:-1]
    return InfillRequest(Context(source.name, "python", text[:start], text[end:]), segments, seed=SEED)


def _frame(source: MarkedSource, drafts: tuple[Fill, ...]) -> Padding:
    text = Text(source.pinned[0], PINNED)
    for draft, pinned in zip(drafts, source.pinned[1:], strict=True):
        text.append_text(drawn(draft)).append(pinned, PINNED)
    text.rstrip()
    return Padding(text, (0, 0, 0, 2), expand=False)


def _listing(steps: tuple[Step, ...]) -> Padding:
    """One line for each step, with the draft of each hole."""
    lines = Text("\n", no_wrap=True, overflow="ellipsis")
    for step in steps:
        lines.append(f"step {step.index:2}  {step.entropy:5.2f} nats  ", "dim")
        for index, draft in enumerate(step.fills):
            lines.append(" | " if index else "", "dim")
            lines.append_text(_one_line(draft))
        lines.append("\n")
    lines.rstrip()
    return Padding(lines, (0, 0, 0, 2), expand=False)


def _one_line(draft: Fill) -> Text:
    pieces = tuple(replace(piece, text=piece.text.replace("\n", "\u21b5")) for piece in draft.pieces)
    shown = replace(draft, pieces=pieces)
    return drawn(shown)


def _summary(source: MarkedSource, played: Played, info: ModelInfo) -> Padding:
    infill = played.infill
    holes = [
        ("" if fill.confidence is None else f"{fill.confidence:.2f} sure, ") + f"the author wrote {authored!r}"
        for fill, authored in zip(infill.fills, source.authored, strict=True)
    ]
    text = Text.assemble(
        ("\n".join(f"hole {number}: {hole}" for number, hole in enumerate(holes, 1)), "dim"),
        "\n",
        (f"{infill.steps} steps", "bold"),
        f", {played.ms:.0f} ms, {info.name} model ({info.parameters / 1e6:.1f} M parameters), {info.device_name}",
    )
    return Padding(text, (1, 0, 1, 2), expand=False)
