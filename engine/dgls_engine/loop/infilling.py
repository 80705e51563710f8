"""A request's turns, run once for the engine in this process and for a server: segments in, steps and the answer out.

    segments -> a turn's canvases -> port.compete -> Lead, Lead, ... -> Step, Step, ... -> next turn -> Infill

An engine implements `Port`: it reads the prompt and lets canvases compete. Knows tokens and text; imports no torch and
no HTTP. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dgls_engine.errors import RequestTooLarge
from dgls_engine.loop.leads import Lead
from dgls_engine.profile import Profile
from dgls_engine.text.canvas import Canvas, lay_out
from dgls_engine.text.length import Length, next_contest
from dgls_engine.text.reader import Reader
from dgls_engine.text.redraft import Sketch, keeps, sketch
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Fill, Hole, Infill, Pinned, Segment, Step, Timings, Trial


@dataclass(frozen=True, slots=True)
class Layout:
    """Turns segments into canvases. Each canvas' text stands between the ids `canvas_start` and `canvas_end`."""

    tokenizer: Tokenizer
    profile: Profile
    length: Length
    canvas_end: Sequence[int]
    canvas_start: Sequence[int] = ()

    def canvases(self, segments: Sequence[Segment], contested: int) -> list[Canvas]:
        """A canvas for each length of the hole at the place `contested`; of several lengths, those that fit. Raises
        `RequestTooLarge` if none does."""
        hole = segments[contested]
        assert isinstance(hole, Hole)
        laid_out: list[Canvas] = []
        tries = self.length.tries(hole)
        if self.profile.in_one_sequence:
            return self._with_the_same_prompt(segments, contested, tries)
        for tried in tries:
            try:
                laid_out.append(self._canvas(segments, contested, tried))
            except RequestTooLarge:
                if not laid_out:
                    raise
                break  # the lengths ascend
        return laid_out

    def _with_the_same_prompt(self, segments: Sequence[Segment], contested: int, tries: Sequence[Hole]) -> list[Canvas]:
        """Canvases with the same code around the hole, because what a canvas has no room for stands in the prompt."""
        for count in range(len(tries), 0, -1):
            try:
                longest = self._canvas(segments, contested, tries[count - 1])
            except RequestTooLarge:
                if count == 1:
                    raise
                continue
            size = self.length.positions(tries[count - 1], None)
            shorter = [size - self.length.positions(tried, None) for tried in tries[: count - 1]]
            return [
                *(self._canvas(segments, contested, *each) for each in zip(tries[: count - 1], shorter, strict=True)),
                longest,
            ]
        raise AssertionError("a hole has at least one length")

    def _canvas(self, segments: Sequence[Segment], contested: int, tried: Hole, spare: int = 0) -> Canvas:
        with_length = [*segments[:contested], tried, *segments[contested + 1 :]]
        positions, ends = self.length.positions, (self.canvas_end, self.canvas_start)
        return lay_out(with_length, self.tokenizer, self.profile, positions, *ends, spare)

    def sketch(self, segments: Sequence[Segment]) -> Sketch:
        return sketch(segments, self.tokenizer, self.profile, self.length, self.canvas_end, self.canvas_start)


class Port(Protocol):
    """The model, for one request. `compete` and `doubts` read the prompt that belongs to their canvases, and raise
    `Cancelled` once the request is cancelled. `prompt_tokens` and `prefilled_tokens` are those of `Infill`."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def prefilled_tokens(self) -> int: ...

    def compete(self, canvases: Sequence[Canvas], readers: Sequence[Reader], hole: int) -> Iterator[Lead]:
        """Fill canvases that differ in the length of their hole number `hole`. Yields at least one lead; the last
        one has a `finish` and the winner."""
        ...

    def doubts(self, drafts: Sketch) -> list[float]:
        """The model's doubt of each token at `drafts.positions`, in nats. A token is hidden by noise while it is
        judged."""
        ...

    def timings(self) -> Timings:
        """The time spent so far."""
        ...


def infilling(segments: Sequence[Segment], layout: Layout, port: Port) -> Iterator[Step | Infill]:
    """Fill the holes: a `Step` for each lead, then one `Infill`. If a hole keeps a part of its draft, only the tokens
    that the model doubts most are filled."""
    if not any(isinstance(segment, Hole) and keeps(segment) for segment in segments):
        yield from _turns(segments, layout, port)
        return
    drafts = layout.sketch(segments)
    redraft = drafts.redraft(port.doubts(drafts), layout.length)
    for event in _turns(redraft.segments, layout, port, passes=1):
        yield replace(event, fills=redraft.fold(event.fills, layout.profile.calibration))


def _turns(segments: Sequence[Segment], layout: Layout, port: Port, passes: int = 0) -> Iterator[Step | Infill]:
    """Fill the holes of segments without drafts to keep. Holes with several lengths take turns: what one of them was
    filled with is pinned in the next one's turn, so there are as many canvases as lengths, not as combinations of them.
    `passes`: those taken before."""
    holes = {place: segment for place, segment in enumerate(segments) if isinstance(segment, Hole)}
    filled: dict[int, Fill] = {}
    steps = 0
    while True:
        left = [Pinned(filled[place].text) if place in filled else each for place, each in enumerate(segments)]
        places = [place for place in holes if place not in filled]
        contested, last = next_contest([holes[place] for place in places], layout.length)
        canvases = layout.canvases(left, places[contested])
        readers = [Reader(canvas.holes, layout.tokenizer) for canvas in canvases]
        lead: Lead | None = None
        for lead in port.compete(canvases, readers, contested):
            draft, entropies = lead.draft, lead.draft.entropies
            reader = readers[draft.rival]
            fills = reader.answers(draft.ids, draft.log_probabilities, entropies, layout.profile.calibration)
            now = filled | dict(zip(places, fills, strict=True))
            yield Step(steps + lead.index, tuple(now[place] for place in holes), sum(entropies) / len(entropies))
        assert lead is not None
        assert lead.finish is not None
        steps, passes = steps + lead.index, passes + lead.passes
        now[places[contested]] = replace(now[places[contested]], trials=_trials(lead, readers, contested))
        settled = places if last or lead.finish == "deadline" else [places[contested]]
        filled |= {place: now[place] for place in settled}
        if len(filled) == len(holes):
            break
    yield Infill(
        fills=tuple(filled[place] for place in holes),
        steps=steps,
        finish=lead.finish,
        timings=port.timings(),
        prompt_tokens=port.prompt_tokens,
        prefilled_tokens=port.prefilled_tokens,
        canvas_tokens=len(canvases[lead.draft.rival].ids),
        hole_tokens=len(lead.draft.ids),
        passes=passes,
    )


def _trials(lead: Lead, readers: Sequence[Reader], hole: int) -> tuple[Trial, ...]:
    """The contest's last judgement of each length."""
    fills = [(readers[draft.rival].fills(draft.ids)[hole], nats) for draft, nats in lead.judged]
    return tuple(Trial(fill.text, fill.count, nats) for fill, nats in fills)
