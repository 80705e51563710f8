"""Steps read by the reference: what is reported, in one copy, and the rules of several canvases at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dgls_engine.loop.choice import Plain
from dgls_engine.loop.constraint import Constraint, Rules, Vocabulary
from dgls_engine.loop.sampler import Sampler, entropy
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import SoftCappedHead
from dgls_engine.text.canvas import Canvas, lay_out
from dgls_engine.text.length import Pad
from dgls_engine.text.opened import Opened
from dgls_engine.types import Hole, Pinned
from dgls_engine.weights.loader import LoadedModel

TEMPERATURE = 0.7


def canvases(loaded: LoadedModel) -> list[Canvas]:
    """One held to typed letters and to what stood there, one with two holes, one that may be empty."""
    several = [
        [Pinned("pri"), Opened(2, 2, expected="value(", strength=0.4), Pinned("\n")],
        [Pinned("x = "), Hole(max_tokens=3, stop="\n"), Pinned("\n"), Hole(min_tokens=2, max_tokens=4)],
        [Pinned("y"), Hole(min_tokens=0, max_tokens=2)],
    ]
    return [lay_out(segments, loaded.tokenizer, loaded.profile, Pad().positions) for segments in several]


def constraints(loaded: LoadedModel) -> tuple[list[Constraint], int]:
    vocabulary = Vocabulary(loaded.tokenizer, loaded.model.config.text_config.vocab_size, loaded.device)
    return [Constraint.of(canvas, vocabulary, True, False) for canvas in canvases(loaded)], vocabulary.size


def chooser(loaded: LoadedModel) -> tuple[Plain, Tensor]:
    """And hidden states for it."""
    own, size = constraints(loaded)
    rows = sum(len(one.leads) for one in own)
    hidden = torch.randn(rows, loaded.model.config.text_config.hidden_size, generator=torch.Generator().manual_seed(0))
    samplers = [Sampler(size, 0.5, torch.Generator().manual_seed(number)) for number in range(len(own))]
    return Plain(SoftCappedHead(loaded.model), samplers, own), hidden


def test_rules_of_several_canvases_equal_those_of_each(flat: LoadedModel) -> None:
    own, size = constraints(flat)
    logits = torch.randn(sum(len(one.leads) for one in own), size, generator=torch.Generator().manual_seed(1))
    alone = [
        Rules.of([one]).apply(part.clone())
        for one, part in zip(own, logits.split_with_sizes([len(one.leads) for one in own]), strict=True)
    ]
    assert torch.equal(Rules.of(own).apply(logits), torch.cat(alone))
    assert len(Rules.of(own).banned) < len(logits), "rows with the same rules share a set"


def test_rules_empty_keep_logits() -> None:
    logits = torch.randn(3, 40)
    rules = Rules.of([Constraint.none(3, 40, torch.device("cpu"))])
    assert torch.equal(rules.apply(logits.clone()), logits)


@torch.inference_mode()
def test_report_equals_definitions(loaded: LoadedModel) -> None:
    plain, hidden = chooser(loaded)
    logits = Rules.of(constraints(loaded)[0]).apply(decoder.logits(loaded.model, hidden))
    drafts, entropies, log_probabilities = plain.choose(hidden, 1, TEMPERATURE).report()
    assert drafts == logits.argmax(-1).tolist()
    assert entropies == entropy((logits / TEMPERATURE).softmax(-1)).tolist()
    assert log_probabilities == logits.log_softmax(-1).amax(-1).tolist()
    assert all(isinstance(token, int) for token in drafts)


@torch.inference_mode()
def test_report_takes_one_copy(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each copy waits for a GPU."""
    copies: list[torch.Size] = []
    original: Callable[[Tensor], Any] = Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda values: copies.append(values.shape) or original(values))
    plain, hidden = chooser(flat)
    choice = plain.choose(hidden, 1, TEMPERATURE)
    assert not copies
    choice.report()
    choice.advance([0, 2])
    assert copies == [torch.Size([3, len(hidden)])]


@torch.inference_mode()
def test_advance_with_dropped_canvases_keeps_results_of_others(flat: LoadedModel) -> None:
    (plain, hidden), (again, _) = chooser(flat), chooser(flat)
    sizes = [len(one.leads) for one in constraints(flat)[0]]
    whole = plain.choose(hidden, 1, TEMPERATURE).advance([0, 1, 2])
    some = again.choose(hidden, 1, TEMPERATURE).advance([0, 2])
    for one, other in zip(whole, some, strict=True):
        parts = one.split_with_sizes(sizes)
        assert torch.allclose(other, torch.cat([parts[0], parts[2]]), atol=1e-5)
