"""The turns of a request over a scripted port: which canvases compete in which turn, and which fills stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from dgls_engine.loop.infilling import Layout, infilling
from dgls_engine.loop.leads import Draft, Lead
from dgls_engine.text.canvas import Canvas
from dgls_engine.text.length import Batch, Length, Pad
from dgls_engine.text.reader import Reader
from dgls_engine.text.redraft import Sketch
from dgls_engine.types import Finish, Hole, Infill, Pinned, Revise, Timings
from dgls_engine.weights.loader import LoadedModel


@dataclass
class Turn:
    """What competed: the lengths of all holes of each canvas, the ids of the first canvas, the contested hole."""

    lengths: list[tuple[int, ...]]
    ids: tuple[int, ...]
    hole: int


@dataclass
class ScriptedPort:
    """The last canvas wins, and all its hole rows hold `token`."""

    token: int
    finish: Finish = "stable"
    turns: list[Turn] = field(default_factory=list)
    prompt_tokens: int = 0
    prefilled_tokens: int = 0

    def compete(self, canvases: Sequence[Canvas], readers: Sequence[Reader], hole: int) -> Iterator[Lead]:
        lengths = [tuple(len(span) for span in canvas.holes) for canvas in canvases]
        self.turns.append(Turn(lengths, canvases[0].ids, hole))
        rows = len(canvases[-1].rows)
        winner = Draft(len(canvases) - 1, [self.token] * rows, [0.0] * rows, [0.0] * rows)
        yield Lead(winner, 1, None, 1, [])
        yield Lead(winner, 2, self.finish, 2, [])

    def doubts(self, drafts: Sketch) -> list[float]:
        return [0.0] * len(drafts.positions)

    def timings(self) -> Timings:
        return Timings(0.0, 0.0)


FIRST, DRAFTED, SECOND = Hole(max_tokens=2), Hole(start=Revise("x", 1.0)), Hole(min_tokens=2, max_tokens=4)
SEGMENTS = (Pinned("("), FIRST, Pinned(")\n("), DRAFTED, Pinned(")\n("), SECOND, Pinned(")"))


def filled(loaded: LoadedModel, length: Length, finish: Finish = "stable") -> tuple[Infill, list[Turn], int]:
    """The answer, the turns and the token that fills every row."""
    (token,) = loaded.tokenizer.encode("x")
    port = ScriptedPort(token, finish)
    *steps, infill = infilling(SEGMENTS, Layout(loaded.tokenizer, loaded.profile, length, ()), port)
    assert isinstance(infill, Infill)
    assert all(len(step.fills) == 3 for step in steps)
    assert infill.steps == infill.passes == len(steps)
    return infill, port.turns, token


def test_turns_without_contest_fill_all_holes_at_once(flat: LoadedModel) -> None:
    infill, turns, _ = filled(flat, Pad())
    assert [(turn.lengths, turn.hole) for turn in turns] == [([(2, 32, 4)], 0)]
    assert infill.texts == ("xx", "x" * 32, "xxxx")


def test_turns_of_holes_with_several_lengths_pin_what_was_filled(flat: LoadedModel) -> None:
    infill, (first, second), token = filled(flat, Batch())
    assert first.lengths == [(1, 1, 4), (2, 1, 4)]
    assert first.hole == 0
    assert second.lengths == [(1, 2), (1, 3), (1, 4)], "the hole with one length goes along with the last contest"
    assert second.hole == 1
    opening = len(flat.tokenizer.encode("("))
    assert second.ids[opening : opening + 2] == (token, token)
    assert infill.texts == ("xx", "x", "xxxx")


@pytest.mark.parametrize("length", [Pad(), Batch()], ids=["pad", "batch"])
def test_turns_after_a_deadline_fill_no_more(flat: LoadedModel, length: Length) -> None:
    infill, turns, _ = filled(flat, length, "deadline")
    assert len(turns) == 1
    assert infill.finish == "deadline"
