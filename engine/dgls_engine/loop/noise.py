"""Chooses between uniform and mask diffusion: what undecided positions show, and how steps decide them.

    noise = noise_of(model, profile, tokenizer, device)        # by the model's family
    noise.rival(canvas, constraint, reader, seed)

Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from dgls_engine.loop.beginnings import Beginnings
from dgls_engine.loop.choice import Choosing, choosing_on
from dgls_engine.loop.constraint import Constraint
from dgls_engine.loop.contest import Judge
from dgls_engine.loop.continuation import Continuation, Revision
from dgls_engine.loop.denoise import Rival
from dgls_engine.loop.judged_rows import AFTER
from dgls_engine.loop.lookup import GUESSES, MATCHED, Lookup
from dgls_engine.loop.masked import Chance, FromTheLeft, Guess, Unmasker
from dgls_engine.loop.sampler import Sampler
from dgls_engine.loop.seam import Seam
from dgls_engine.loop.stopping import StableAndSure
from dgls_engine.model.family import OpenModel
from dgls_engine.profile import Profile
from dgls_engine.text.canvas import Canvas, Span
from dgls_engine.text.opened import opened
from dgls_engine.text.reader import Reader
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Blank, Hole, Resume, Segment


class Noise(Protocol):
    @property
    def choosing(self) -> Choosing: ...

    def started(self, segment: Segment) -> Segment:
        """The segment with a start that this noise can go on from."""
        ...

    def hidden(self, rows: int, seed: int) -> Tensor:
        """Ids [rows] that hide tokens from the model."""
        ...

    def judge(self, seed: int, hole: Span) -> Judge:
        """The judge of a contest for a hole."""
        ...

    def rival(
        self,
        canvas: Canvas,
        constraint: Constraint,
        reader: Reader,
        seed: int,
        differs: int | None,
        prompt: Sequence[int],
    ) -> Rival:
        """`differs`: the number of a hole for which a rival of the same length exists, so that this one has to differ:
        it keeps the text that stands there, if that competes, or else is drawn by chance. `prompt`: the ids that stand
        in front of the canvas."""
        ...


class Uniform:
    """Noise is a random token, and every step may change every position."""

    def __init__(self, vocabulary: int, profile: Profile, device: torch.device) -> None:
        self._vocabulary, self._profile, self._device = vocabulary, profile, device
        self.choosing: Choosing = choosing_on(device)

    def started(self, segment: Segment) -> Segment:
        return segment

    def hidden(self, rows: int, seed: int) -> Tensor:
        return self._sampler(seed).noise(rows)

    def judge(self, seed: int, hole: Span) -> Judge:
        return Seam(self.hidden(AFTER, seed))

    def rival(
        self,
        canvas: Canvas,
        constraint: Constraint,
        reader: Reader,
        seed: int,
        differs: int | None,
        prompt: Sequence[int],
    ) -> Rival:
        profile = self._profile
        stop = StableAndSure(profile.stability_threshold, profile.confidence_threshold, reader.counted, canvas.draft)
        return Rival(canvas, self._sampler(seed), stop, constraint)

    def _sampler(self, seed: int) -> Sampler:
        generator = torch.Generator(self._device).manual_seed(seed % 2**63)
        return Sampler(self._vocabulary, self._profile.entropy_bound, generator)


class Masks:
    """Noise is the token `mask`. A hole that resumes starts blank, as a decided token could never change; its text is
    guessed."""

    choosing: Choosing = FromTheLeft

    def __init__(
        self, mask: int, vocabulary: int, profile: Profile, tokenizer: Tokenizer, device: torch.device
    ) -> None:
        self._mask, self._profile, self._tokenizer, self._device = mask, profile, tokenizer, device
        self._beginnings = Beginnings(tokenizer, vocabulary, device)

    def started(self, segment: Segment) -> Segment:
        if isinstance(segment, Hole) and isinstance(segment.start, Resume):
            return replace(opened(segment), start=Blank(), expected=segment.start.text)
        return segment

    def hidden(self, rows: int, seed: int) -> Tensor:
        return torch.full((rows,), self._mask, device=self._device)

    def judge(self, seed: int, hole: Span) -> Judge:
        kind = Revision if hole.stands else Continuation
        return kind(self._tokenizer, self._mask)

    def rival(
        self,
        canvas: Canvas,
        constraint: Constraint,
        reader: Reader,
        seed: int,
        differs: int | None,
        prompt: Sequence[int],
    ) -> Rival:
        rows, threshold = len(canvas.rows), self._profile.unmask_threshold
        kept = {} if differs is None else self._standing(canvas, differs)
        chance = None if differs is None or kept else Chance(seed)
        guess, banned = self._guess(canvas, prompt), self._beginnings.of(canvas)
        unmasker = Unmasker(rows, self._mask, threshold, reader.counted, self._device, chance, guess, banned, kept)
        return Rival(canvas, unmasker, unmasker, constraint)

    def _guess(self, canvas: Canvas, prompt: Sequence[int]) -> Guess | None:
        """Guesses for the last hole, if nothing stands behind it. Decided rows behind a hole would see a guess there,
        and rows that see them would know it."""
        last = canvas.holes[-1]
        if last.end < len(canvas.ids):
            return None
        lookup = Lookup([*prompt, *canvas.ids[: canvas.rows[0]]])

        def guess(draft: Sequence[int], row: int) -> Sequence[int]:
            place, filled = canvas.rows[row], canvas.filled(draft)
            decided = place - last.start
            if decided < 0:
                return ()
            if tuple(filled[last.start : place]) == last.expected[:decided] and decided < len(last.expected):
                return last.expected[decided : decided + GUESSES]
            return lookup.after([*prompt[-MATCHED:], *filled[:place]])

        return guess

    def _standing(self, canvas: Canvas, number: int) -> dict[int, int]:
        """The rows of hole `number` with the text that stands there; none if it does not compete. PAD ends a text that
        is shorter than the hole."""
        hole = canvas.holes[number]
        first = canvas.rows.index(hole.start)
        ids = [*hole.expected, *[self._tokenizer.pad_id] * len(hole)][: len(hole)]
        return dict(enumerate(ids, first)) if hole.stands else {}


def noise_of(model: OpenModel[Any], profile: Profile, tokenizer: Tokenizer, device: torch.device) -> Noise:
    if model.mask is None:
        return Uniform(model.vocabulary, profile, device)
    return Masks(model.mask, model.vocabulary, profile, tokenizer, device)
