"""Laws of the adapter's training, on small random Llama checkpoints: what is trained is what the engine runs."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from dgls_engine.model.masked.adapter import spread
from dgls_engine.model.masked.passes import MaskedPasses
from dgls_engine.model_files import read_json
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.loader import load
from dgls_training import corpus, run_folder
from dgls_training.adapter import held_out, tokens, weights
from dgls_training.adapter.base import Base
from dgls_training.adapter.examples import Cutter, Lengths, Window, undecided
from dgls_training.adapter.objective import Batch, losses, predicted, read, seen_rows
from dgls_training.adapter.trainer import Plan, Progress, Trainer, rate_share
from dgls_training.adapter.weights import Adapter
from dgls_training.commands import app
from dgls_training.corpus import Source
from tests.engine.checkpoints import masked_checkpoint

LENGTHS = Lengths(before=12, after=9, slots=8)
TEXT = "".join(f"def add_{i}(left, right):\n    total = left + right * {i}\n    return total\n\n" for i in range(60))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return masked_checkpoint(tmp_path_factory.mktemp("base"), rank=0, sharpness=40.0)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer(folder / "tokenizer.json")


@pytest.fixture(scope="module")
def base(folder: Path) -> Base:
    return Base(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def cutter(tokenizer: Tokenizer) -> Cutter:
    files = [tokenizer.encode(TEXT), tokenizer.encode("import os\n")]
    return Cutter(tokens.Tokens.of(files), tokens.line_ends(tokenizer), LENGTHS)


@pytest.fixture
def windows(cutter: Cutter) -> list[Window]:
    rng = random.Random(1)
    return [cutter.draw(rng) for _ in range(6)]


def mask_of(tokenizer: Tokenizer) -> int:
    return tokenizer.id_of("<|mask|>")


def adapter_of(base: Base, seed: int | None = None) -> Adapter:
    """An untrained adapter; with a `seed` each of its weights is random."""
    torch.manual_seed(seed or 0)
    tensors = weights.untrained(base.shapes, base.embedding, rank=4)
    if seed is not None:
        tensors |= {name: 0.2 * torch.randn_like(tensor) for name, tensor in tensors.items() if name[0] in "Br"}
    return Adapter(tensors)


def hidden_of(base: Base, adapter: Adapter, mask: int, batch: Batch) -> Tensor:
    return predicted(base, adapter, mask, batch, read(base, batch)[1])


def decided_up_to(windows: list[Window], cut: int) -> Batch:
    batch = Batch.of(windows, 1, 0, random.Random(0))
    open = (torch.arange(LENGTHS.slots) >= cut).expand_as(batch.undecided)
    return Batch(batch.context, batch.slots, open, open.float())


def test_draw_windows_are_code_after_then_before_then_slots(cutter: Cutter, tokenizer: Tokenizer) -> None:
    rng, ends = random.Random(0), tokens.line_ends(tokenizer)
    lines = 0
    for _ in range(200):
        window = cutter.draw(rng)
        after, before = window.context[: LENGTHS.after], window.context[LENGTHS.after :]
        assert tokenizer.decode([*before, *window.slots[: window.hole], *after]) in TEXT
        assert tokenizer.decode([*before, *window.slots]) in TEXT
        assert 1 <= window.hole <= LENGTHS.slots == len(window.slots)
        lines += after[0] in ends
    assert lines > 100, "most holes end with their line"
    line = cutter.draw_line(rng)
    assert line.context[0] in ends
    assert not ends.intersection(line.slots[: line.hole])


def test_undecided_slots_behind_the_hole_are_open(windows: list[Window]) -> None:
    rng = random.Random(0)
    masks = [undecided(windows[0], rng) for _ in range(300)]
    assert all(all(mask[windows[0].hole :]) and mask[-1] for mask in masks)
    from_the_left = sum(mask == sorted(mask) for mask in masks)
    assert 200 < from_the_left < 300


def test_batch_measures_next_slots_of_whole_draws_and_open_slots_of_others(windows: list[Window]) -> None:
    batch = Batch.of(windows, 4, 1, random.Random(0))
    whole, others = batch.undecided[:, 0], batch.undecided[:, 1:]
    assert not whole[:, :-1].any()
    assert (batch.weights[:, 0] > 0).all()
    assert batch.next[:, 0].all()
    assert torch.equal(batch.weights[:, 1:] > 0, others)
    assert (batch.next[:, 1:].sum(-1) == 1).all(), "the first open slot"
    assert torch.equal(batch.next[:, 1:].float().argmax(-1), others.float().argmax(-1))


def test_predicted_whole_draws_read_as_a_causal_pass(base: Base, tokenizer: Tokenizer, windows: list[Window]) -> None:
    batch = Batch.of(windows, 1, 1, random.Random(0))
    text, states = read(base, batch)
    hidden = predicted(base, adapter_of(base), mask_of(tokenizer), batch, states)
    torch.testing.assert_close(hidden[:, 0], text, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("cut", [0, 3])
def test_predicted_untrained_adapter_continues_as_the_base(
    cut: int, folder: Path, base: Base, tokenizer: Tokenizer, windows: list[Window]
) -> None:
    batch = decided_up_to(windows, cut)
    text, states = read(base, batch)
    hidden = predicted(base, adapter_of(base), mask_of(tokenizer), batch, states)
    stock: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    ids = torch.tensor([[*window.context, *window.slots] for window in windows])
    with torch.no_grad():
        expected = stock(ids).logits[:, LENGTHS.before + LENGTHS.after - 1 : -1]
    torch.testing.assert_close(base.logits(hidden[:, 0, cut]), expected[:, cut], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(base.logits(text), expected, atol=1e-3, rtol=1e-3)


def test_seen_rows_are_those_of_the_engine(folder: Path, tokenizer: Tokenizer) -> None:
    loaded = load(folder, "cpu")
    model = loaded.family.open(loaded.model, loaded.profile, loaded.tokenizer.specials)
    passes = MaskedPasses(loaded.model, model.new_prompt(0), mask_of(tokenizer))
    open = torch.rand(50, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    at = torch.arange(9).expand(50, -1)
    assert torch.equal(seen_rows(open), passes._attention_mask(open, [9] * 50, at)[:, 0])


def test_predicted_draws_of_a_context_do_not_see_each_other(
    base: Base, tokenizer: Tokenizer, windows: list[Window]
) -> None:
    batch, adapter = Batch.of(windows, 3, 1, random.Random(0)), adapter_of(base, seed=1)
    together = hidden_of(base, adapter, mask_of(tokenizer), batch)
    for draw in range(3):
        one = Batch(batch.context, batch.slots, batch.undecided[:, [draw]], batch.weights[:, [draw]])
        alone = hidden_of(base, adapter, mask_of(tokenizer), one)
        torch.testing.assert_close(together[:, draw], alone[:, 0], atol=1e-4, rtol=1e-4)


def test_losses_are_those_of_plain_autograd(base: Base, tokenizer: Tokenizer, windows: list[Window]) -> None:
    batch, adapter, mask = Batch.of(windows, 2, 1, random.Random(0)), adapter_of(base, seed=1), mask_of(tokenizer)
    ours = losses(base, adapter, mask, batch, soft=0.3)
    ours.total.backward()
    gradients = [weight.grad.clone() for weight in adapter.parameters() if weight.grad is not None]
    adapter.zero_grad()
    text, states = read(base, batch)
    hidden = predicted(base, adapter, mask, batch, states)
    likely, teacher = (_without(base.logits(each), mask).log_softmax(-1) for each in (hidden, text))
    hard = -likely.gather(3, batch.slots[:, None, :, None].expand(-1, 2, -1, 1))[..., 0]
    soft = -(teacher.exp()[:, None] * likely).sum(-1)
    shares = batch.weights / batch.weights.sum()
    share = torch.where(batch.next, 0.0, 0.3)
    total = (((1 - share) * hard + share * soft) * shares).sum()
    total.backward()
    torch.testing.assert_close(ours.total, total)
    assert ours.hard == pytest.approx((hard * shares).sum().item(), rel=1e-4)
    assert ours.next == pytest.approx(hard[batch.next].mean().item(), rel=1e-4)
    assert len(gradients) == len(list(adapter.parameters()))
    for weight, gradient in zip(adapter.parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, weight.grad, atol=1e-5, rtol=1e-3)


def _without(logits: Tensor, mask: int) -> Tensor:
    """Logits in which the mask token is next to impossible."""
    return logits.index_fill(-1, torch.tensor([mask]), -1e9)


def test_export_engine_predicts_as_in_training(
    folder: Path, base: Base, tokenizer: Tokenizer, windows: list[Window], tmp_path: Path
) -> None:
    adapter = adapter_of(base, seed=1)
    weights.write(adapter.state_dict(), tmp_path / "fused.safetensors")
    written = weights.read(str(tmp_path / "fused.safetensors"))
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_file(spread(written, read_json(folder / "config.json")), tmp_path / "adapter.safetensors", {"format": "pt"})
    loaded = load(tmp_path, "cpu", "float32")
    model = loaded.family.open(loaded.model, loaded.profile, loaded.tokenizer.specials)
    batch = Batch.of(windows[:1], 1, 0, random.Random(3))
    prompt = model.new_prompt(64)
    prompt.extend(batch.context[0, :-1].tolist())
    shown = batch.slots[0].masked_fill(batch.undecided[0, 0], mask_of(tokenizer))
    ids = torch.cat([batch.context[0, -1:], shown])[None]
    rows = (torch.zeros(LENGTHS.slots, dtype=torch.long), 1 + torch.arange(LENGTHS.slots))
    passes = model.passes_after(prompt)
    hidden = passes.run(ids, passes.start(ids, rows, ids), [ids.shape[1]], rows)
    trained = hidden_of(base, Adapter(written), mask_of(tokenizer), batch)
    torch.testing.assert_close(passes.head.logits(hidden), base.logits(trained[0, 0]), atol=1e-3, rtol=1e-3)


def test_read_state_dict_with_more_rows_gives_the_adapter(base: Base, tmp_path: Path) -> None:
    tensors = adapter_of(base, seed=2).state_dict()
    other = tensors | {"rows": torch.cat([tensors["rows"]] * 2), "padout": torch.zeros(32)}
    torch.save(other, tmp_path / "state.pt.100")
    again = weights.read(str(tmp_path / "state.pt.100"))
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_grown_adapter_adds_the_same(base: Base, tokenizer: Tokenizer, windows: list[Window]) -> None:
    small, batch, mask = adapter_of(base, seed=1), decided_up_to(windows, 2), mask_of(tokenizer)
    large = Adapter(weights.grown(small.state_dict(), 6))
    assert large.rank == 6
    one, other = (hidden_of(base, adapter, mask, batch) for adapter in (small, large))
    torch.testing.assert_close(one, other)
    with pytest.raises(ValueError, match="cannot be reduced"):
        weights.grown(large.state_dict(), 4)


def test_rate_share_rises_then_falls_to_the_end() -> None:
    shares = [rate_share(step, step / 1000) for step in range(1001)]
    assert shares[0] == pytest.approx(0.05)
    assert max(shares) > 0.99
    assert shares[20:] == sorted(shares[20:], reverse=True)
    assert shares[-1] == pytest.approx(0.05)
    assert Progress(step=5, seconds=30.0).share(Plan(minutes=1, steps=20)) == 0.5


class Killed(Exception):
    """In place of SIGKILL: nothing is saved."""


def curve(run: Path) -> list[tuple[float, ...]]:
    return [(record["step"], record["loss"], record["hard"], record["next"]) for record in run_folder.records(run)]


def trainer(run: Path, base: Base, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    run.mkdir(exist_ok=True)
    monkeypatch.setattr(Trainer, "report_every", 2)
    monkeypatch.setattr(Trainer, "save_after", 0.0)
    plan = Plan(minutes=60, steps=9, rate=1e-2, contexts=2, draws=2, seed=5, before=12, after=9, slots=8)
    return Trainer(run, plan, base, mask_of(tokenizer), adapter_of(base))


def test_trainer_killed_and_resumed_gives_the_curve_of_an_unbroken_leg(
    base: Base, tokenizer: Tokenizer, cutter: Cutter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = trainer(tmp_path / "unbroken", base, tokenizer, monkeypatch)
    assert not unbroken.resume()
    unbroken.train(cutter)
    assert unbroken.over
    broken = trainer(tmp_path / "broken", base, tokenizer, monkeypatch)
    steps = 0

    def step(self: Trainer, cutter: Cutter) -> None:
        nonlocal steps
        steps += 1
        if steps == 6:
            raise Killed
        original(self, cutter)
        if steps == 5:  # after this step no checkpoint is written any more, but a report
            monkeypatch.setattr(self, "save_after", 1e9)
            monkeypatch.setattr(self, "report_every", 1)

    original = Trainer._step
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", step)
        with pytest.raises(Killed):
            broken.train(cutter)
    resumed = trainer(tmp_path / "broken", base, tokenizer, monkeypatch)
    assert resumed.resume()
    resumed.train(cutter)
    assert curve(tmp_path / "broken") == curve(tmp_path / "unbroken")
    assert [record[0] for record in curve(tmp_path / "broken")] == [2, 4, 6, 8, 9]
    for one, other in zip(resumed.adapter.parameters(), unbroken.adapter.parameters(), strict=True):
        assert torch.equal(one, other)
    assert curve(tmp_path / "broken")[-1][1] < curve(tmp_path / "broken")[0][1], "it learns"


def test_measured_figures_are_those_of_the_hole(base: Base, tokenizer: Tokenizer, windows: list[Window]) -> None:
    mask, adapter = mask_of(tokenizer), adapter_of(base, seed=1)
    [figures] = held_out.measured(base, [adapter], mask, windows)
    assert figures.shape == (len(windows), len(held_out.FIGURES))
    blank = _nats(base, hidden_of(base, adapter, mask, decided_up_to(windows, 0))[:, 0], mask, windows)
    torch.testing.assert_close(figures[:, 0], blank[:, 0])
    for window, row, nats in zip(windows, figures, blank, strict=True):
        assert row[1:3].isnan().tolist() == [window.hole <= 1, window.hole <= 6]
        if window.hole > 1:
            torch.testing.assert_close(row[1], nats[1 : min(6, window.hole)].mean())


def test_measured_next_and_exact_are_those_of_a_fill_from_the_left(
    base: Base, tokenizer: Tokenizer, windows: list[Window]
) -> None:
    mask, adapter = mask_of(tokenizer), adapter_of(base, seed=1)
    hidden = [hidden_of(base, adapter, mask, decided_up_to(windows, cut))[:, 0, cut] for cut in range(LENGTHS.slots)]
    logits = _without(base.logits(torch.stack(hidden, dim=1)), mask)
    following = [
        Window(window.context, own.argmax(-1).tolist(), window.hole)
        for window, own in zip(windows, logits, strict=True)
    ]
    nats = _nats(base, torch.stack(hidden, dim=1), mask, windows)
    [figures] = held_out.measured(base, [adapter], mask, windows)
    for window, row, own, likeliest in zip(windows, figures, nats, following, strict=True):
        torch.testing.assert_close(row[3], own[: window.hole].mean())
        assert bool(row[4]) == (likeliest.slots[: window.hole] == window.slots[: window.hole])


def test_measured_exact_counts_a_hole_that_is_right_up_to_its_end(
    base: Base, tokenizer: Tokenizer, windows: list[Window]
) -> None:
    mask, adapter, hole = mask_of(tokenizer), adapter_of(base), 3
    few = [replace(window, hole=hole) for window in windows]
    for cut in range(hole):  # the likeliest tokens become the true ones
        hidden = hidden_of(base, adapter, mask, decided_up_to(few, cut))[:, 0, cut]
        likeliest = _without(base.logits(hidden), mask).argmax(-1).tolist()
        few = [
            replace(window, slots=[*window.slots[:cut], id, *window.slots[cut + 1 :]])
            for window, id in zip(few, likeliest, strict=True)
        ]
    [figures] = held_out.measured(base, [adapter], mask, few)
    assert figures[:, 4].all()
    other = [replace(few[0], slots=[few[0].slots[0] + 1, *few[0].slots[1:]]), *few[1:]]
    assert not held_out.measured(base, [adapter], mask, other)[0][0, 4]


def _nats(base: Base, hidden: Tensor, mask: int, windows: list[Window]) -> Tensor:
    """Of the true tokens [windows, slots]."""
    likely = _without(base.logits(hidden), mask).log_softmax(-1)
    true = torch.tensor([window.slots for window in windows])
    return -likely.gather(2, true[..., None])[..., 0].detach()


def test_table_shows_paired_differences() -> None:
    first = torch.tensor([[1.0, 2.0, 4.0, 1.0, 0.0], [3.0, torch.nan, torch.nan, 2.0, 1.0]])
    second = first - torch.tensor([[0.5], [0.3]])
    rows = held_out.table(["a", "b"], [first, second]).splitlines()
    assert rows[0] == "| figure | holes | a | b |"
    assert rows[2] == "| slot 1 | 2 | 2.000 | 1.600 (-0.400 +- 0.100) |"
    assert rows[3].startswith("| slots 2-6 | 1 | 2.000 | 1.500 (-0.500")
    assert rows[5] == "| next | 2 | 1.500 | 1.100 (-0.400 +- 0.100) |"


def test_commands_train_then_resume_then_evaluate_then_export(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, run = tmp_path / "corpus", tmp_path / "run"
    source.mkdir()
    long = TEXT * 3
    for part in ("training", "held_out"):
        corpus.save([Source("made-up", "MIT", "made_up.py", long)], source / f"{part}.jsonl")
    monkeypatch.setattr("os.nice", lambda increment: 0)
    common = ["--corpus", str(source), "--base", str(folder)]

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["adapter", *arguments], catch_exceptions=False)
        return result.output if result.exit_code == 0 else f"failed: {result.output}"

    new = ["train", "--run", str(run), *common, "--minutes", "5", "--contexts", "1", "--draws", "1"]
    assert "step 2, " in call(*new, "--steps", "2", "--init", "untrained", "--rank", "4")
    plan = Plan.load(run)
    assert plan is not None
    assert (plan.minutes, plan.steps, plan.init, plan.rank) == (5, 2, "untrained", 4)
    assert "is over" in call("train", "--run", str(run), *common)
    assert "other values of minutes" in call("train", "--run", str(run), *common, "--minutes", "6")
    assert "| slot 1 | 3 |" in call("evaluate", str(run), "untrained", "--holes", "3", *common)
    assert "| slot 1 | 3 |" in call("evaluate", str(run), "--holes", "3", "--suffix", ".py", *common)
    assert "ADAPTER_SHA256" in call("export", str(run), "--to", str(tmp_path / "a.safetensors"))
    trained, written = run_folder.load(run)["adapter"], weights.read(str(tmp_path / "a.safetensors"))
    assert torch.equal(written["B.0a"], trained["B.0a"].to(torch.bfloat16))
