"""What the tests of these models share: passes over given canvases, and the loops again, slow and over lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dgls_engine import CancelToken
from dgls_engine.loop.any_order import START
from dgls_engine.loop.constraint import Constraint, Vocabulary
from dgls_engine.loop.denoise import Rival, denoise
from dgls_engine.loop.noise import AnyMasks, noise_of
from dgls_engine.loop.stopping import Deadline, Schedule
from dgls_engine.model.batches import places
from dgls_engine.model.masked.whole import WholePasses
from dgls_engine.profile import Decoding
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, Span
from dgls_engine.text.reader import Reader
from dgls_engine.weights.loader import LoadedModel
from tests.engine.published import KINDS, SHIFTED, reference

MASK, EXPAND, DELETE = 2, 3, 0
PROMPT_ABOVE, PROMPT_BELOW = [31, 45, 7, 120, 88], [60, 61, 90]


def kind_of(loaded: LoadedModel) -> str:
    kind = loaded.folder.name.rstrip("0123456789")
    return kind if kind in KINDS else "dream-coder"


def with_profile(loaded: LoadedModel, **values: Any) -> LoadedModel:
    return loaded.with_profile(values)


def passes_between(loaded: LoadedModel, above: Sequence[int], below: Sequence[int]) -> WholePasses:
    model = loaded.family.open(loaded.model, loaded.profile, loaded.tokenizer.specials)
    encoder: Encoder[Any] = Encoder(model.new_prompt)
    encoder.prefill([*above, MASK, *below])
    passes = model.passes_after(encoder.cache)
    assert isinstance(passes, WholePasses)
    return passes


@torch.inference_mode()
def logits_at(passes: WholePasses, canvases: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]) -> Tensor:
    """The logits of `rows` by one pass over canvases, padded on the right."""
    width = max(map(len, canvases))
    ids = torch.tensor([[*canvas, *[0] * (width - len(canvas))] for canvas in canvases])
    at = places(rows, passes.device)
    hidden = passes.run(ids, passes.start(ids, at, torch.zeros(len(at[0]))), [len(canvas) for canvas in canvases], at)
    return passes.head.logits(hidden)


def predictions(
    kind: str, tensors: dict[str, Tensor], before: Sequence[int], rows: Sequence[int], after: Sequence[int]
) -> Tensor:
    """The reference's probabilities [rows, vocabulary] of the hole's tokens; special ones have none."""
    whole = reference(kind, tensors, [*before, *rows, *after])
    first = len(before) - (kind in SHIFTED)
    return whole[first : first + len(rows)]


def slow_drafts(loaded: LoadedModel, decoding: Decoding, size: int, banned: Tensor) -> list[list[int]]:
    """The drafts of a hole by a slow loop: decided tokens, and elsewhere the likeliest ones."""
    kind, tensors = kind_of(loaded), load_file(loaded.folder / "model.safetensors")
    before, after = [*PROMPT_ABOVE, 100, 101], [103, *PROMPT_BELOW]
    shown, steps = [MASK] * size, []
    while MASK in shown:
        logits = predictions(kind, tensors, before, shown, after).masked_fill(banned, -math.inf)
        chances = logits.softmax(-1)
        entropies = [float(-(row[row > 0] * row[row > 0].log()).sum()) for row in chances]
        undecided = [row for row, id in enumerate(shown) if id == MASK]
        best = {row: int(chances[row].argmax()) for row in undecided}
        sure = {row: float(chances[row].max()) for row in undecided}
        margin = {row: float(chances[row].topk(2).values @ torch.tensor([1.0, -1.0]).double()) for row in undecided}
        if decoding == "remask":
            now = {row: sure.get(row, float(chances[row][shown[row]])) for row in range(size)}
            kept = sorted(now, key=lambda row: now[row], reverse=True)[: len(steps) + 1]
            best |= {row: shown[row] for row in range(size) if row not in best}
        elif decoding == "threshold":
            kept = [row for row in undecided if sure[row] > loaded.profile.unmask_threshold]
            kept = kept or [max(undecided, key=lambda row: sure[row])]
        elif decoding == "bound":
            order = sorted(undecided, key=lambda row: entropies[row])
            sums = [sum(entropies[row] for row in order[:count]) for count in range(len(order))]
            kept = [row for row, total in zip(order, sums, strict=True) if total <= loaded.profile.entropy_bound]
        else:
            score = {"confidence": sure, "margin": margin, "entropy": {row: -entropies[row] for row in undecided}}
            kept = [max(undecided, key=lambda row: score[decoding][row])]
        decided = list(shown)
        for row in best:
            decided[row] = best[row] if row in kept else MASK
        steps.append([best.get(row, decided[row]) if decided[row] == MASK else decided[row] for row in range(size)])
        shown = decided
    return steps


def our_drafts(loaded: LoadedModel, size: int) -> tuple[list[list[int]], Tensor]:
    """The drafts of the same hole by the loop, and the tokens that no row may hold."""
    canvas = Canvas((100, 101, *[MASK] * size, 103), (Span(2, 2 + size),))
    passes = passes_between(loaded, PROMPT_ABOVE, PROMPT_BELOW)
    vocabulary = Vocabulary(loaded.tokenizer, loaded.model.config.vocab_size, loaded.device)
    constraint = Constraint.of(canvas, vocabulary, pads=False)
    model = loaded.family.open(loaded.model, loaded.profile, loaded.tokenizer.specials)
    noise = noise_of(model, loaded.profile, loaded.tokenizer, loaded.device)
    rival = noise.rival(canvas, constraint, Reader(canvas.holes, loaded.tokenizer), 0, None, ())
    steps = denoise(
        passes,
        [rival],
        schedule=Schedule(100, 1.0, 1.0),
        deadline=Deadline(None),
        cancel=CancelToken(),
        choosing=noise.choosing,
    )
    return [draft.ids for (draft,) in steps], constraint.banned[0]


def growing_reference(loaded: LoadedModel, size: int, least: int, banned: Tensor) -> list[int]:
    """The tokens of a growing hole by a slow loop over lists."""
    tensors = load_file(loaded.folder / "model.safetensors")
    shown, budget = [MASK] * min(START, size), size
    while MASK in shown:
        logits = predictions("dreamon", tensors, [*PROMPT_ABOVE, 100, 101], shown, [103, *PROMPT_BELOW])
        for row in range(len(shown)):
            forbidden = banned.clone()
            forbidden[EXPAND] = not (len(shown) < size and budget > 0)
            forbidden[DELETE] = row < max(1, least)
            logits[row][forbidden] = -math.inf
        chances = logits.softmax(-1)
        entropies = [float(-(row[row > 0] * row[row > 0].log()).sum()) for row in chances]
        row = min((row for row, id in enumerate(shown) if id == MASK), key=lambda row: entropies[row])
        token = int(chances[row].argmax())
        if token == EXPAND:
            shown[row : row + 1] = [MASK, MASK]
            budget -= 1
        elif token == DELETE:
            shown = shown[:row] + [id for id in shown[row + 1 :] if id != MASK]
        else:
            shown[row] = token
    return shown


def canvases_of(monkeypatch: pytest.MonkeyPatch) -> list[Canvas]:
    canvases: list[Canvas] = []
    make = AnyMasks.rival

    def rival(self: AnyMasks, canvas: Canvas, *rest: Any, **named: Any) -> Rival:
        canvases.append(canvas)
        return make(self, canvas, *rest, **named)

    monkeypatch.setattr(AnyMasks, "rival", rival)
    return canvases
