"""A request's turns, run once for the engine in this process and for a server: segments in, steps and the answer out.

    segments -> turn: canvases -> port.compete -> Lead, Lead, ... -> Step, Step, ... -> next turn -> Infill

An engine implements `Port`: it reads the prompt and lets canvases compete. Knows tokens and text; imports no torch and
no HTTP. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dgls_engine.errors import RequestTooLarge
from dgls_engine.loop.leads import Lead
from dgls_engine.loop.turns import Turn, next_turn
from dgls_engine.profile import Profile
from dgls_engine.text.canvas import Canvas, lay_out
from dgls_engine.text.length import Length
from dgls_engine.text.reader import Reader
from dgls_engine.text.redraft import Sketch, keeps, sketch
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Fill, Hole, Infill, Segment, Step, Timings, Trial


@dataclass(frozen=True, slots=True)
class Layout:
    """How segments become canvases: `canvas_start` and `canvas_end` are the ids around the text of each."""

    tokenizer: Tokenizer
    profile: Profile
    length: Length
    canvas_end: Sequence[int]
    canvas_start: Sequence[int] = ()

    def canvases(self, turn: Turn) -> list[Canvas]:
        """The turn's canvases; of several lengths, those that fit. Raises `RequestTooLarge` if none does."""
        laid_out: list[Canvas] = []
        ends = self.canvas_end, self.canvas_start
        for segments in turn.tries:
            try:
                laid_out.append(lay_out(segments, self.tokenizer, self.profile, self.length.positions, *ends))
            except RequestTooLarge:
                if not laid_out:
                    raise
                break  # the lengths ascend
        return laid_out

    def sketch(self, segments: Sequence[Segment]) -> Sketch:
        return sketch(segments, self.tokenizer, self.profile, self.length, self.canvas_end, self.canvas_start)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a request cost: its time, the tokens of its prompt, and how many of them were computed."""

    timings: Timings
    prompt_tokens: int
    prefilled_tokens: int


class Port(Protocol):
    """The model, for one request. `compete` and `doubts` read the prompt that belongs to their canvases, and raise
    `Cancelled` once the request is cancelled."""

    def compete(self, canvases: Sequence[Canvas], readers: Sequence[Reader], hole: int) -> Iterator[Lead]:
        """Fill canvases that differ in the length of their hole number `hole`. At least one lead; the last one has a
        `finish`, and the winner."""
        ...

    def doubts(self, drafts: Sketch) -> list[float]:
        """How much the model doubts the tokens at `drafts.positions`, in nats, each in a pass of its own noise."""
        ...

    def spent(self) -> Spent: ...


def infilling(segments: Sequence[Segment], layout: Layout, port: Port) -> Iterator[Step | Infill]:
    """Fill the holes: a `Step` for each lead, then one `Infill`. Drafts to keep a part of are opened where the model
    doubts them."""
    if not any(isinstance(segment, Hole) and keeps(segment) for segment in segments):
        yield from _turns(segments, layout, port)
        return
    drafts = layout.sketch(segments)
    redraft = drafts.opened(port.doubts(drafts), layout.length)
    for event in _turns(redraft.segments, layout, port, passes=1):
        yield replace(event, fills=redraft.fold(event.fills, layout.profile.calibration))


def _turns(segments: Sequence[Segment], layout: Layout, port: Port, passes: int = 0) -> Iterator[Step | Infill]:
    """Fill the holes of segments without drafts to keep. `passes`: those taken before."""
    calibration = layout.profile.calibration
    filled: dict[int, Fill] = {}
    steps = 0
    while True:
        texts = {number: fill.text for number, fill in filled.items()}
        turn = next_turn(segments, texts, layout.length)
        canvases = layout.canvases(turn)
        readers = [Reader(canvas.holes, layout.tokenizer) for canvas in canvases]
        lead: Lead | None = None
        for lead in port.compete(canvases, readers, turn.contested):
            progress, entropies = lead.progress, lead.progress.entropies
            reader = readers[progress.candidate]
            fills = reader.answers(progress.draft, progress.log_probabilities, entropies, calibration)
            now = filled | dict(zip(turn.holes, fills, strict=True))
            yield Step(
                steps + lead.index, tuple(now[number] for number in sorted(now)), sum(entropies) / len(entropies)
            )
        assert lead is not None
        assert lead.finish is not None
        steps, passes = steps + lead.index, passes + lead.passes
        contested = turn.holes[turn.contested]
        now[contested] = replace(now[contested], trials=_trials(lead, readers, turn.contested))
        settled = turn.holes if lead.finish == "deadline" else turn.settles
        filled |= {number: now[number] for number in settled}
        if len(filled) == len(now):
            break
    spent = port.spent()
    yield Infill(
        fills=tuple(filled[number] for number in sorted(filled)),
        steps=steps,
        finish=lead.finish,
        timings=spent.timings,
        prompt_tokens=spent.prompt_tokens,
        prefilled_tokens=spent.prefilled_tokens,
        canvas_tokens=len(canvases[lead.progress.candidate].ids),
        hole_tokens=len(lead.progress.draft),
        passes=passes,
    )


def _trials(lead: Lead, readers: Sequence[Reader], hole: int) -> tuple[Trial, ...]:
    """The lengths that were judged last."""
    fills = [(readers[step.candidate].fills(step.draft)[hole], nats) for step, nats in lead.judged]
    return tuple(Trial(fill.text, fill.count, nats) for fill, nats in fills)
