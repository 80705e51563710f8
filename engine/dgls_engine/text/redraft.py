"""A draft to change a little becomes pinned text and small holes; what these are filled with becomes one text again.

    Hole(start=Revise("total = coutn + 1", 0.2))  ->    Pinned("total = ")  Hole  Pinned(" + 1")    ->    one answer

The most doubted tokens are opened (`loop.doubt`), the others pinned, so that all else of the engine sees ordinary
segments. Strength does not change the order of doubt, so a higher strength opens a superset of the tokens.
Borders are those of tokens, and of whole characters: tokens that share one are opened together. Knows tokens' bytes
and the policy's lengths, no tensors. Runs on the engine thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from dgls_engine.calibration import Calibration
from dgls_engine.profile import Profile
from dgls_engine.text.canvas import Canvas, Span, lay_out
from dgls_engine.text.length import Length
from dgls_engine.text.opened import Opened, opened, start_text
from dgls_engine.text.reader import read
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Fill, Hole, Piece, Pinned, Revise, Segment

SLACK, SLACK_RUNS = 1, 2
"""An opened run may grow by SLACK tokens. Only the SLACK_RUNS most doubted runs may grow: each costs a turn."""


@dataclass(frozen=True, slots=True)
class Redraft:
    """Segments without drafts to keep, and of each of the request's holes its `parts`, in text order: the pieces of a
    kept text, or the number of a hole among `segments`."""

    segments: tuple[Segment, ...]
    parts: tuple[tuple[tuple[str, ...] | int, ...], ...]

    def fold(self, fills: Sequence[Fill], calibration: Calibration) -> tuple[Fill, ...]:
        """A fill for each of the request's holes, from those for the holes of `segments`."""
        return tuple(_joined(parts, fills, calibration) for parts in self.parts)


@dataclass(frozen=True, slots=True)
class Sketch:
    """The request's segments and a canvas in which its drafts stand in their holes, for the model to doubt them.

    `atoms` are each hole's draft in the smallest parts that have whole characters; none of a hole without one to keep.
    """

    segments: tuple[Segment, ...]
    canvas: Canvas
    atoms: tuple[tuple[_Atom, ...], ...]

    @property
    def positions(self) -> list[int]:
        """Where in the canvas the tokens of the drafts stand, ascending."""
        return [position for own in self.atoms for atom in own for position in atom.positions]

    def opened(self, nats: Sequence[float], length: Length) -> Redraft:
        """The segments to fill instead of the drafts. `nats` are the doubts of the tokens at `positions`."""
        doubt = dict(zip(self.positions, nats, strict=True))
        holes = _holes(self.segments)
        runs = [_runs(atoms, _strength(hole), doubt) for atoms, hole in zip(self.atoms, holes, strict=True)]
        grow = [_worst(own, doubt)[:SLACK_RUNS] for own in runs]
        segments: list[Segment] = []
        parts: list[tuple[tuple[str, ...] | int, ...]] = []
        number = 0
        for segment in self.segments:
            if isinstance(segment, Pinned):
                segments.append(segment)
                continue
            own: list[tuple[str, ...] | int] = []
            for opens, run in runs[len(parts)] or [(True, [])]:
                if opens:
                    slack = SLACK if run in grow[len(parts)] else 0
                    segments.append(_opening(segment, run, length, slack, first=not own) if run else segment)
                    own.append(number)
                    number += 1
                else:
                    own.append(tuple(atom.text for atom in run))
                    segments.append(Pinned("".join(atom.text for atom in run)))
            parts.append(tuple(own))
        return Redraft(tuple(segments), tuple(parts))


@dataclass(frozen=True, slots=True)
class _Atom:
    """A part of a draft that is opened or kept as a whole: a token, or those that share a character."""

    text: str
    positions: range


def keeps(hole: Hole) -> bool:
    """Whether a part of a hole's draft comes back as it is; there must be something to keep."""
    return isinstance(hole.start, Revise) and bool(hole.start.text) and hole.start.strength < 1.0


def sketch(
    segments: Sequence[Segment],
    tokenizer: Tokenizer,
    profile: Profile,
    length: Length,
    closing: Sequence[int],
    opening: Sequence[int] = (),
) -> Sketch:
    """For a request that keeps a part of a draft. Raises `RequestTooLarge`, as `lay_out` does."""

    def positions(hole: Hole, drafted: int | None) -> int:
        return drafted if drafted is not None and keeps(hole) else length.positions(hole, drafted)

    canvas = lay_out(segments, tokenizer, profile, positions, closing, opening)
    atoms = [_atoms(hole, span, canvas, tokenizer) for hole, span in zip(_holes(segments), canvas.holes, strict=True)]
    return Sketch(tuple(segments), canvas, tuple(atoms))


def _strength(hole: Hole) -> float:
    return hole.start.strength if isinstance(hole.start, Revise) else 1.0


def _holes(segments: Sequence[Segment]) -> list[Hole]:
    return [segment for segment in segments if isinstance(segment, Hole)]


def _atoms(hole: Hole, span: Span, canvas: Canvas, tokenizer: Tokenizer) -> tuple[_Atom, ...]:
    text = start_text(hole)
    if text is None or not keeps(hole):
        return ()
    ids = canvas.ids[span.start : span.end]
    atoms: list[_Atom] = []
    at, start = 0, span.start
    for end, piece in enumerate(read(replace(span, stop=None), ids, tokenizer).pieces, start + 1):
        if piece:
            # The draft's own characters: a lone surrogate is read as U+FFFD.
            atoms.append(_Atom(text[at : at + len(piece)], range(start, end)))
            at, start = at + len(piece), end
    assert at == len(text), "the canvas holds the draft"
    return tuple(atoms)


def _runs(atoms: Sequence[_Atom], strength: float, doubt: Mapping[int, float]) -> list[tuple[bool, list[_Atom]]]:
    """The draft in turns of kept and opened atoms (True), the most doubted ones opened."""
    order = sorted(range(len(atoms)), key=lambda index: (-_most([atoms[index]], doubt), index))
    chosen = set(order[: max(1, round(strength * len(atoms)))])
    turns = groupby(range(len(atoms)), key=chosen.__contains__)
    return [(opens, [atoms[index] for index in run]) for opens, run in turns]


def _worst(runs: Sequence[tuple[bool, list[_Atom]]], doubt: Mapping[int, float]) -> list[list[_Atom]]:
    """The opened runs, those first that hold the most doubted tokens."""
    return sorted((run for opens, run in runs if opens), key=lambda run: -_most(run, doubt))


def _most(run: Sequence[_Atom], doubt: Mapping[int, float]) -> float:
    return max(doubt[position] for atom in run for position in atom.positions)


def _opening(hole: Hole, run: Sequence[_Atom], length: Length, slack: int, first: bool) -> Hole:
    """A hole for an opened run. Its text ends before the draft's stop, unless the run itself goes across it. In front
    of a draft the text may be cut anywhere; within, at a token's border.
    """
    text = "".join(atom.text for atom in run)
    tokens = sum(len(atom.positions) for atom in run)
    least, most = length.around(tokens, slack)
    stop = None if hole.stop is None or hole.stop in text else hole.stop
    healed = first and opened(hole).healed
    return Opened(least, most, stop, healed=healed, expected=text, strength=_strength(hole), slack=slack)


def _joined(parts: tuple[tuple[str, ...] | int, ...], fills: Sequence[Fill], calibration: Calibration) -> Fill:
    """Kept text is certain: it has no part in the probability."""
    if len(parts) == 1 and isinstance(parts[0], int):
        return fills[parts[0]]
    pieces: list[Piece] = []
    for part in parts:
        pieces += fills[part].pieces if isinstance(part, int) else (Piece(text, 1.0) for text in part)
    probability = math.prod(fills[part].probability for part in parts if isinstance(part, int))
    return Fill(
        "".join(piece.text for piece in pieces), tuple(pieces), calibration.confidence(probability), probability
    )
