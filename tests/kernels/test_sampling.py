"""The sampling kernels match their definitions, and a canvas' result does not depend on the rest of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="needs Triton, which the extra `kernels` brings")

from dgls_engine.loop.sampler import accepted, entropy
from dgls_engine.model.kernels.sampling import PART, Measures, Rows, measure, settle, spread
from tests.kernels.compiling import SHARED_MEMORY, Job, compiled

CAP, TEMPERATURE, STEP = 30.0, 0.6, 3
SIZES = (3, 1, 2)
"""The number of rows of each canvas."""
VOCABULARY = 2 * PART + 900


def rows_of(device: torch.device, sizes: Sequence[int] = SIZES, vocabulary: int = VOCABULARY) -> Rows:
    """Rows without banned or favoured tokens."""
    count, starts = sum(sizes), [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    return Rows(
        banned=torch.zeros(1, vocabulary, dtype=torch.bool, device=device),
        banned_by=torch.zeros(count, dtype=torch.int32, device=device),
        favoured=torch.zeros(count, dtype=torch.int32, device=device),
        leads=torch.zeros(count, device=device),
        seeds=torch.tensor([100 + number for number, size in enumerate(sizes) for _ in range(size)], device=device),
        places=torch.tensor([place for size in sizes for place in range(size)], dtype=torch.int32, device=device),
        starts=torch.tensor(starts, dtype=torch.int32, device=device),
    )


def ruled(device: torch.device) -> Rows:
    """Rows with rules: the second row allows three tokens only, in two parts; the third one favours a token; the others
    ban the first 50 tokens."""
    rows = rows_of(device)
    banned = torch.zeros(2, VOCABULARY, dtype=torch.bool, device=device)
    banned[0, :50] = True
    banned[1] = True
    banned[1, [7, PART - 1, VOCABULARY - 1]] = False
    banned_by, favoured, leads = rows.banned_by.clone(), rows.favoured.clone(), rows.leads.clone()
    banned_by[1], favoured[2], leads[2] = 1, PART, 9.5
    return replace(rows, banned=banned, banned_by=banned_by, favoured=favoured, leads=leads)


def raw_logits(device: torch.device, dtype: torch.dtype, scale: float = 8.0) -> Tensor:
    """Random logits: peaked in some rows, nearly flat in the last."""
    raw = torch.randn(sum(SIZES), VOCABULARY, generator=torch.Generator().manual_seed(0)) * scale
    raw[-1] *= 0.01
    raw[0, PART + 5] = 80.0
    return raw.to(device, dtype)


def reference(raw: Tensor, rows: Rows) -> Tensor:
    """Soft-capped logits under the rules."""
    logits = torch.tanh(raw.float() / CAP) * CAP
    logits.scatter_add_(1, rows.favoured.long()[:, None], rows.leads[:, None])
    return logits.masked_fill(rows.banned[rows.banned_by.long()], -torch.inf)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_measure_matches_definitions(device: torch.device, dtype: torch.dtype) -> None:
    raw, rows = raw_logits(device, dtype), ruled(device)
    logits = reference(raw, rows)
    best, nats, log_probabilities = measure(raw, rows, CAP, TEMPERATURE, STEP).report
    assert torch.equal(best.long(), (logits / TEMPERATURE).argmax(-1))
    assert torch.allclose(nats, entropy((logits / TEMPERATURE).softmax(-1)), atol=1e-4)
    assert torch.allclose(log_probabilities, logits.log_softmax(-1).amax(-1), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_spread_replaces_logits_by_probabilities(device: torch.device, dtype: torch.dtype) -> None:
    raw, rows = raw_logits(device, dtype), ruled(device)
    expected = (reference(raw, rows) / TEMPERATURE).softmax(-1)
    spread(raw, rows, measure(raw, rows, CAP, TEMPERATURE, STEP), CAP, TEMPERATURE)
    rounding = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]  # the interpreter cuts off
    assert torch.allclose(raw.float(), expected, rtol=rounding, atol=1e-6)
    assert not raw[rows.banned[rows.banned_by.long()]].any()


def test_measure_equal_logits_reports_first(device: torch.device) -> None:
    raw = torch.zeros(1, VOCABULARY, device=device)
    raw[0, [PART + 3, PART + 4, 2 * PART]] = 5.0
    report = measure(raw, rows_of(device, [1]), CAP, TEMPERATURE, STEP).report
    assert report[0].tolist() == [PART + 3]


def test_spread_draws_token_at_cumulated_probability(device: torch.device) -> None:
    """One random number draws the part, another the token in it."""
    raw, rows = raw_logits(device, torch.float32, scale=3.0), ruled(device)
    likely = (reference(raw, rows).double() / TEMPERATURE).softmax(-1)
    measures = measure(raw, rows, CAP, TEMPERATURE, STEP)
    drawn = spread(raw, rows, measures, CAP, TEMPERATURE)
    for row, (token, part) in enumerate(zip(drawn.tolist(), measures.part.tolist(), strict=True)):
        own = likely[row, part * PART : (part + 1) * PART]
        before, number = own[: token - part * PART].sum() / own.sum(), float(measures.plan[2, row])
        assert token // PART == part
        assert own[token - part * PART] > 0
        assert before - 1e-5 <= number <= before + own[token - part * PART] / own.sum() + 1e-5


def test_spread_draws_by_probability(device: torch.device) -> None:
    """A chi-square test over rows with different seeds."""
    tokens, shares = [3, PART - 1, PART, PART + 40], torch.tensor([0.4, 0.1, 0.2, 0.3])
    count = 40_000 if device.type == "cuda" else 64
    raw = torch.full((count, PART + 41), -300.0, device=device)
    raw[:, tokens] = torch.atanh(TEMPERATURE * shares.log() / CAP).to(device) * CAP
    rows = rows_of(device, [1] * count, PART + 41)
    drawn = spread(raw, rows, measure(raw, rows, CAP, TEMPERATURE, STEP), CAP, TEMPERATURE)
    found = torch.stack([(drawn == token).sum() for token in tokens]).cpu()
    assert found.sum() == count
    assert float(((found - count * shares) ** 2 / (count * shares)).sum()) < 16.3  # 3 degrees of freedom, p = 0.001


def drawn_by(raw: Tensor, rows: Rows, step: int) -> tuple[Tensor, Tensor]:
    """The drawn tokens, and the ids of the next step if each canvas keeps only one row."""
    raw = raw.clone()
    measures = measure(raw, rows, CAP, TEMPERATURE, step)
    drawn = spread(raw, rows, measures, CAP, TEMPERATURE)
    return drawn, settle(drawn, rows, measures, 0.0, max(SIZES), step)


def test_draws_differ_by_row_and_step(device: torch.device) -> None:
    raw, rows = torch.zeros(sum(SIZES), VOCABULARY, device=device), rows_of(device)
    first, again, later = (torch.stack(drawn_by(raw, rows, step)) for step in (1, 1, 2))
    assert torch.equal(first, again)
    assert not (first == later).any()
    assert len(set(first[0].tolist())) == len(raw)
    seeds = replace(rows, seeds=rows.seeds + 2**40)
    assert not (first == torch.stack(drawn_by(raw, seeds, 1))).any()


def test_canvas_in_batch_equals_alone(device: torch.device) -> None:
    raw, rows = raw_logits(device, torch.bfloat16, scale=1.0), ruled(device)
    together, starts = torch.stack(drawn_by(raw, rows, STEP)), rows.starts.tolist()
    for first, end in pairwise(starts):
        own = Rows(
            rows.banned,
            *(values[first:end] for values in (rows.banned_by, rows.favoured, rows.leads, rows.seeds, rows.places)),
            starts=torch.tensor([0, end - first], dtype=torch.int32, device=device),
        )
        assert torch.equal(torch.stack(drawn_by(raw[first:end], own, STEP)), together[:, first:end])


def test_settle_keeps_rows_with_lowest_entropy(device: torch.device) -> None:
    sizes, bound = (40, 1, 7), 0.5
    rows = rows_of(device, sizes)
    nats = torch.rand(sum(sizes), generator=torch.Generator().manual_seed(1)) * 0.2
    nats[40] = 5.0
    nats[[3, 9]] = float(nats[4])
    report = torch.stack([torch.zeros_like(nats), nats, torch.zeros_like(nats)]).to(device)
    drawn = torch.full((sum(sizes),), -7, dtype=torch.int64, device=device)
    next_ids = settle(drawn, rows, Measures(report, report, rows.places), bound, max(sizes), STEP)
    kept = torch.cat([accepted(part, bound) for part in nats.split_with_sizes(sizes)]).to(device)
    assert 0 < kept.sum() < len(kept)
    assert torch.equal(next_ids == -7, kept)
    noise = next_ids[~kept]
    assert noise.min() >= 0
    assert noise.max() < VOCABULARY
    assert len(noise.unique()) > 0.9 * len(noise)
    assert noise.float().mean() == pytest.approx(VOCABULARY / 2, rel=0.35)


RULES = {"logits": "*bf16", "banned": "*u8", "banned_by": "*i32", "favoured": "*i32", "leads": "*fp32"}
SIGNATURES = {
    "_sum_parts": RULES | {"sums": "*fp32", "vocabulary": "i32", "count": "i32", "cap": "fp32", "sharpness": "fp32"},
    "_sum_rows": {"sums": "*fp32", "seeds": "*i64", "places": "*i32", "report": "*fp32", "plan": "*fp32"}
    | {"chosen": "*i32", "parts": "i32", "count": "i32", "sharpness": "fp32", "step": "i32"},
    "_spread_parts": RULES
    | {"plan": "*fp32", "chosen": "*i32", "drawn": "*i64", "vocabulary": "i32", "count": "i32", "cap": "fp32"}
    | {"sharpness": "fp32"},
    "_settle_canvas": {"drawn": "*i64", "report": "*fp32", "starts": "*i32", "seeds": "*i64", "places": "*i32"}
    | {"chosen": "*i64", "vocabulary": "i32", "count": "i32", "bound": "fp32", "step": "i32"},
}
CONSTANTS: dict[str, dict[str, int]] = {
    "_sum_parts": {"PART": PART},
    "_sum_rows": {"PARTS": 64},
    "_spread_parts": {"PART": PART},
    "_settle_canvas": {"WIDTH": 256},
}
WARPS = {"_sum_parts": 8, "_sum_rows": 1, "_spread_parts": 8, "_settle_canvas": 4}


def test_sampling_kernels_compile_without_spilling() -> None:
    jobs = [
        Job(
            "dgls_engine.model.kernels.sampling",
            name,
            signature,
            CONSTANTS[name],
            capability,
            ("vocabulary",),
            WARPS[name],
        )
        for name, signature in SIGNATURES.items()
        for capability in SHARED_MEMORY
    ]
    for job, resources in zip(jobs, compiled(jobs), strict=True):
        assert resources.spilled == 0, (job.kernel, job.capability, resources)
        assert resources.shared <= SHARED_MEMORY[job.capability], (job.kernel, job.capability, resources)
