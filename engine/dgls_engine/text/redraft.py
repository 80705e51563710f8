"""Splits a text to revise into pinned text and small holes, and joins the fills to one text again.

    Hole(start=Revise("total = coutn + 1", 0.2))  ->    Pinned("total = ")  Hole  Pinned(" + 1")    ->    one answer

The tokens that the model doubts most (`loop.doubt`) are opened, the others are pinned. The rest of the engine sees
ordinary segments. Strength does not change the order of doubt, so a higher strength opens a superset of the tokens.
Tokens that share a character are opened together; for a model that writes from left to right, those of a word. Such a
model fills a word with one word, and the text that stands competes with the fill. Knows tokens' bytes and the policy's
lengths, no tensors. Runs on the engine thread.
"""

from __future__ import annotations

import math
import re
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

MOST_WORDS = 4
"""The number of words that a model which writes from left to right opens at most: each costs a turn."""

WORD_SLACK = 2
"""Tokens that a word of a model that writes from left to right may have more than the word that stands."""


@dataclass(frozen=True, slots=True)
class Redraft:
    """Segments in which the request's drafts are split. `parts` tells for each of the request's holes how to join it
    again: in text order, the pieces of a kept text, or the number of a hole among `segments`."""

    segments: tuple[Segment, ...]
    parts: tuple[tuple[tuple[str, ...] | int, ...], ...]

    def fold(self, fills: Sequence[Fill], calibration: Calibration) -> tuple[Fill, ...]:
        """Join the fills of the holes in `segments` to one fill for each of the request's holes."""
        return tuple(_joined(parts, fills, calibration) for parts in self.parts)


@dataclass(frozen=True, slots=True)
class Sketch:
    """The request's segments, and a canvas whose holes hold the drafts, so that the model can judge their tokens.

    `atoms` splits each hole's draft into the smallest parts that have whole characters. It is empty for a hole without
    a draft to keep. `continues`: the model writes from left to right.
    """

    segments: tuple[Segment, ...]
    canvas: Canvas
    atoms: tuple[tuple[_Atom, ...], ...]
    continues: bool = False

    @property
    def positions(self) -> list[int]:
        """The canvas positions of the drafts' tokens, ascending."""
        return [position for own in self.atoms for atom in own for position in atom.positions]

    def redraft(self, nats: Sequence[float], length: Length) -> Redraft:
        """Open the most doubted tokens. `nats` are the doubts of the tokens at `positions`."""
        doubt = dict(zip(self.positions, nats, strict=True))
        holes = _holes(self.segments)
        most = MOST_WORDS if self.continues else None
        runs = [_runs(atoms, _strength(hole), doubt, most) for atoms, hole in zip(self.atoms, holes, strict=True)]
        if self.continues:  # a hole for each word, as the length of several is not known
            runs = [[(opens, part) for opens, run in own for part in _parted(run, opens)] for own in runs]
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
                    segments.append(self._opening(segment, run, length, slack, first=not own) if run else segment)
                    own.append(number)
                    number += 1
                else:
                    own.append(tuple(atom.text for atom in run))
                    segments.append(Pinned("".join(atom.text for atom in run)))
            parts.append(tuple(own))
        return Redraft(tuple(segments), tuple(parts))

    def _opening(self, hole: Hole, run: Sequence[_Atom], length: Length, slack: int, first: bool) -> Hole:
        """A hole in place of an opened run. It has the stop of `hole`, unless the run itself contains that stop. Only
        the `first` run can be healed: the text before a draft may end within a token, but a run ends at a token's
        border."""
        text = "".join(atom.text for atom in run)
        tokens = sum(len(atom.positions) for atom in run)
        word = self.continues and len(run) == 1 and _WORD.fullmatch(text) is not None
        least, most = (1, tokens + WORD_SLACK) if word else length.around(tokens, slack)
        stop = None if hole.stop is None or hole.stop in text else hole.stop
        return Opened(
            least,
            most,
            stop,
            healed=first and opened(hole).healed,
            expected=text,
            strength=_strength(hole),
            slack=slack,
            word=word,
            stands=self.continues,
        )


@dataclass(frozen=True, slots=True)
class _Atom:
    """The smallest part of a draft that is opened or kept: a token, or the tokens that share a character."""

    text: str
    positions: range


def keeps(hole: Hole) -> bool:
    """Whether the hole has a text and keeps a part of it."""
    return isinstance(hole.start, Revise) and bool(hole.start.text) and hole.start.strength < 1.0


def sketch(
    segments: Sequence[Segment],
    tokenizer: Tokenizer,
    profile: Profile,
    length: Length,
    closing: Sequence[int],
    opening: Sequence[int] = (),
) -> Sketch:
    """The sketch of a request that keeps a part of a draft. Raises `RequestTooLarge`, as `lay_out` does."""

    def positions(hole: Hole, drafted: int | None) -> int:
        return drafted if drafted is not None and keeps(hole) else length.positions(hole, drafted)

    canvas = lay_out(segments, tokenizer, profile, positions, closing, opening)
    atoms = [_atoms(hole, span, canvas, tokenizer) for hole, span in zip(_holes(segments), canvas.holes, strict=True)]
    if profile.continues:
        atoms = [_words(own) for own in atoms]
    return Sketch(tuple(segments), canvas, tuple(atoms), profile.continues)


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
    for end, piece in enumerate(
        read(replace(span, stop=None, follows="", indent="", word=False), ids, tokenizer).pieces, start + 1
    ):
        if piece:
            # The draft's own characters: a lone surrogate is read as U+FFFD.
            atoms.append(_Atom(text[at : at + len(piece)], range(start, end)))
            at, start = at + len(piece), end
    assert at == len(text), "the canvas holds the draft"
    return tuple(atoms)


def _words(atoms: Sequence[_Atom]) -> tuple[_Atom, ...]:
    """The atoms, joined where they are parts of one word."""
    words: list[_Atom] = []
    for atom in atoms:
        if words and _INSIDE.search(words[-1].text[-1:] + atom.text[:1]):
            words[-1] = _Atom(words[-1].text + atom.text, range(words[-1].positions.start, atom.positions.stop))
        else:
            words.append(atom)
    return tuple(words)


_WORD, _INSIDE = re.compile(r"\s*\w+"), re.compile(r"\w\w")


def _runs(
    atoms: Sequence[_Atom], strength: float, doubt: Mapping[int, float], most: int | None
) -> list[tuple[bool, list[_Atom]]]:
    """The draft as runs: neighbouring atoms that are all opened (True: the most doubted) or all kept (False). At most
    `most` atoms are opened."""
    order = sorted(range(len(atoms)), key=lambda index: (-_most([atoms[index]], doubt), index))
    chosen = set(order[: max(1, round(strength * len(atoms)))][:most])
    turns = groupby(range(len(atoms)), key=chosen.__contains__)
    return [(opens, [atoms[index] for index in run]) for opens, run in turns]


def _parted(run: list[_Atom], opens: bool) -> list[list[_Atom]]:
    return [[atom] for atom in run] if opens else [run]


def _worst(runs: Sequence[tuple[bool, list[_Atom]]], doubt: Mapping[int, float]) -> list[list[_Atom]]:
    """The opened runs, sorted by their most doubted token."""
    return sorted((run for opens, run in runs if opens), key=lambda run: -_most(run, doubt))


def _most(run: Sequence[_Atom], doubt: Mapping[int, float]) -> float:
    return max(doubt[position] for atom in run for position in atom.positions)


def _joined(parts: tuple[tuple[str, ...] | int, ...], fills: Sequence[Fill], calibration: Calibration) -> Fill:
    """The fill of one of the request's holes. Kept text counts as certain, so it does not change the probability."""
    if len(parts) == 1 and isinstance(parts[0], int):
        return fills[parts[0]]
    pieces: list[Piece] = []
    for part in parts:
        pieces += fills[part].pieces if isinstance(part, int) else (Piece(text, 1.0) for text in part)
    probability = math.prod(fills[part].probability for part in parts if isinstance(part, int))
    return Fill(
        "".join(piece.text for piece in pieces), tuple(pieces), calibration.confidence(probability), probability
    )
