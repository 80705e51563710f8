"""Chooses between uniform and mask diffusion: what undecided positions show, and how steps decide them.

    noise = noise_of(model, profile, tokenizer, device)        # by the model's family
    noise.rival(canvas, constraint, reader, seed)

Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from dgls_engine.errors import UnsupportedModel
from dgls_engine.loop.any_order import AnyOrder, Growth, Rows
from dgls_engine.loop.beginnings import Beginnings
from dgls_engine.loop.choice import Choosing, choosing_on
from dgls_engine.loop.constraint import Constraint
from dgls_engine.loop.contest import Judge
from dgls_engine.loop.continuation import Continuation, Revision
from dgls_engine.loop.denoise import Rival
from dgls_engine.loop.first_pass import FirstPass
from dgls_engine.loop.judged_rows import AFTER
from dgls_engine.loop.lookup import GUESSES, MATCHED, Lookup
from dgls_engine.loop.masked import Chance, FromTheLeft, Guess, Unmasker
from dgls_engine.loop.rules import rule_of
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
        seam = Seam(self.hidden(AFTER, seed))
        return FirstPass(seam) if self._profile.hole_policy == "search" else seam

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

    def __init__(
        self, mask: int, vocabulary: int, profile: Profile, tokenizer: Tokenizer, device: torch.device
    ) -> None:
        self.choosing: Choosing = FromTheLeft
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
        kept = {} if differs is None else self._standing(canvas, differs)
        chance = None if differs is None or kept else Chance(seed)
        rows = self._rows(canvas, reader, chance, kept, prompt)
        return Rival(canvas, rows, rows, constraint)

    def _rows(
        self, canvas: Canvas, reader: Reader, chance: Chance | None, kept: Mapping[int, int], prompt: Sequence[int]
    ) -> Unmasker | Rows:
        """What decides the rows of the canvas."""
        rows, threshold = len(canvas.rows), self._profile.unmask_threshold
        guess, banned = self._guess(canvas, prompt), self._beginnings.of(canvas)
        return Unmasker(rows, self._mask, threshold, reader.counted, self._device, chance, guess, banned, kept)

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


class AnyMasks(Masks):
    """Masks whose rows are decided in the order of a rule. A hole that resumes starts blank."""

    def __init__(
        self, mask: int, vocabulary: int, profile: Profile, tokenizer: Tokenizer, device: torch.device
    ) -> None:
        super().__init__(mask, vocabulary, profile, tokenizer, device)
        self._rule = rule_of(profile)
        grows = profile.hole_policy == "grow"
        tokens = profile.expand_token, profile.delete_token
        self._growth = (tokenizer.id_of(tokens[0]), tokenizer.id_of(tokens[1])) if grows else None
        self.choosing: Choosing = partial(AnyOrder, mask=mask, growth=self._growth)

    def started(self, segment: Segment) -> Segment:
        if isinstance(segment, Hole) and isinstance(segment.start, Resume):
            return replace(segment, start=Blank())
        return segment

    def judge(self, seed: int, hole: Span) -> Judge:
        judge = super().judge(seed, hole) if self._profile.continues else Seam(self.hidden(AFTER, seed))
        return FirstPass(judge) if self._profile.hole_policy == "search" and not hole.stands else judge

    def _rows(
        self, canvas: Canvas, reader: Reader, chance: Chance | None, kept: Mapping[int, int], prompt: Sequence[int]
    ) -> Rows:
        sizes, least = [len(hole) for hole in canvas.holes], [hole.min_tokens for hole in canvas.holes]
        growth = self._growth and Growth(*self._growth, least)
        pad = self._tokenizer.pad_id
        return Rows(sizes, self._mask, pad, self._rule, reader.counted, self._device, growth, chance, kept)


def noise_of(model: OpenModel[Any], profile: Profile, tokenizer: Tokenizer, device: torch.device) -> Noise:
    if model.mask is None and profile.hole_policy == "grow":
        raise UnsupportedModel("the hole policy grow needs a model that was trained with an expand token")
    if model.mask is None:
        return Uniform(model.vocabulary, profile, device)
    if profile.decoding != "left":
        return AnyMasks(model.mask, model.vocabulary, profile, tokenizer, device)
    if profile.hole_policy in ("grow", "search"):
        raise UnsupportedModel(
            f"the hole policy {profile.hole_policy} needs another decoding than left; name one in infill.json"
        )
    return Masks(model.mask, model.vocabulary, profile, tokenizer, device)
