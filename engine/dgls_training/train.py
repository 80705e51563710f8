"""The training loop: one process, on the CPU or one CUDA device, resumable; a run has a length in minutes or tokens.

The caller passes in the `Objective`. The learning rate warms up, stays constant, and falls over the last 40 % of the
run; to prolong a run, resume it with more minutes or tokens. Muon (Jordan 2024) optimises the hidden matrices, AdamW
all other parameters.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import Value
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Generic

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import DiffusionGemmaForBlockDiffusion

from dgls_engine.device import device_name
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.loader import load
from dgls_training import run_folder
from dgls_training.architecture import Architecture, new_model
from dgls_training.corpus import Source
from dgls_training.examples import Cutter, Sizes
from dgls_training.objective import B, Objective


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of one run. It ends after `minutes` or `tokens`, whichever comes first, over all resumptions. The
    rates are the peaks of the schedule."""

    minutes: float
    tokens: int | None = None
    batch: int = 16
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    seed: int = 0
    report_every: int = 100
    save_every_minutes: float = 4.0
    held_out_examples: int = 128
    workers: int = 0


@dataclass(slots=True)
class Progress:
    """The progress of a run, for a resumption. `tokens` counts all tokens through the model, with prompts."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0

    def share(self, plan: Plan) -> float:
        """The share of the run that is done; the run ends at 1."""
        return max(self.seconds / (60 * plan.minutes), self.tokens / plan.tokens if plan.tokens else 0.0)


class Trainer(Generic[B]):
    """Owns the model, the optimizers and the progress; `run` trains until the plan's minutes or tokens are spent."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        architecture: Architecture,
        objective: Objective[B],
        sizes: Sizes,
        tokenizer: Tokenizer,
        device: str,
    ) -> None:
        self._folder, self._plan, self._objective, self._sizes = folder, plan, objective, sizes
        self._tokenizer = tokenizer
        self._device = torch.device(device)
        self.model = new_model(architecture, plan.seed)
        module: torch.nn.Module = self.model  # transformers annotates `to` wrongly
        module.to(self._device)
        self._optimizers = _optimizers(self.model, plan)
        self._progress = Progress()
        self._cold_step = 0
        """The step at which the optimizers started without state; the rate warms up from there."""
        # Shared with the processes that draw examples: the kinds of examples depend on the run's progress.
        self._done = Value("d", 0.0)

    def resume(self) -> bool:
        """Resume from the folder's last checkpoint, if it has one."""
        if not run_folder.exists(self._folder):
            return False
        state = run_folder.load(self._folder, self._device)
        self.model.load_state_dict(state["model"])
        self._progress = Progress(**state["progress"])
        if "optimizers" in state:
            for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        else:  # unpacked from a parcel
            self._cold_step = self._progress.step
        self._done.value = self._progress.share(self._plan)
        return True

    def start_from(self, exported: Path) -> None:
        """Load an exported checkpoint's weights. The optimizers start without state, so the rate warms up again."""
        loaded = load(exported, device="cpu", dtype="float32").model
        self.model.load_state_dict(loaded.state_dict())

    @property
    def over(self) -> bool:
        return bool(self._done.value >= 1.0)

    def run(self, training: list[Source], held_out: list[Source], pause_after: float = math.inf) -> None:
        """Train until the run is over, until Ctrl-C, or for `pause_after` seconds; then save the progress."""
        if self.over:
            return
        try:
            self._run(Cutter(training, self._tokenizer, self._sizes), self._held_out_batch(held_out), pause_after)
        except KeyboardInterrupt:
            print("interrupted; run the same command again to resume", flush=True)
        self._save()

    def _run(self, cutter: Cutter, held_out: B, pause_after: float) -> None:
        generator = torch.Generator(self._device).manual_seed(self._plan.seed + self._progress.step)
        started, saved, losses = time.monotonic() - self._progress.seconds, self._progress.seconds, []
        pause = self._progress.seconds + pause_after
        for batch in self._batches(cutter):
            losses.append(self._step(batch.to(self._device), generator))
            self._progress.step += 1
            self._progress.tokens += batch.tokens
            self._progress.seconds = time.monotonic() - started
            self._done.value = self._progress.share(self._plan)
            ends = self.over or self._progress.seconds > pause
            if ends or self._progress.step % self._plan.report_every == 0:
                self._report(sum(losses) / len(losses), held_out)
                losses = []
            if self._progress.seconds - saved > 60 * self._plan.save_every_minutes:
                saved = self._progress.seconds
                self._save()
            if ends:
                return

    def _batches(self, cutter: Cutter) -> Iterator[B]:
        """Batches without end, drawn by `plan.workers` processes, or by this process if there are none."""
        stream = _Stream(cutter, self._objective, self._plan, self._progress.step, self._done)
        yield from DataLoader(stream, batch_size=None, num_workers=self._plan.workers)

    def _step(self, batch: B, generator: torch.Generator) -> float:
        factor = _schedule(self._done.value, self._progress.step - self._cold_step)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
        with torch.autocast(self._device.type, torch.bfloat16):
            loss = self._objective.loss(self.model, batch, generator)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def _held_out_batch(self, held_out: list[Source]) -> B:
        cutter, rng = Cutter(held_out, self._tokenizer, self._sizes), random.Random(1)
        examples = [cutter.draw(rng, "rest-of-line") for _ in range(self._plan.held_out_examples)]
        return self._objective.collate(examples).to(self._device)

    def _report(self, training_loss: float, held_out: B) -> None:
        figures = {"training_loss": training_loss, **self._objective.figures(self.model, held_out)}
        record = asdict(self._progress) | {name: round(value, 4) for name, value in figures.items()}
        record["device"] = device_name(self._device)
        run_folder.log(self._folder, record)
        print(json.dumps(record), flush=True)

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "progress": asdict(self._progress),
        }
        run_folder.save(self._folder, state)


class _Stream(IterableDataset[B]):
    """Batches without end. They differ between the processes that draw, and after each resumption."""

    def __init__(
        self, cutter: Cutter, objective: Objective[B], plan: Plan, step: int, done: Synchronized[float]
    ) -> None:
        self._cutter, self._objective, self._plan, self._step, self._done = cutter, objective, plan, step, done

    def __iter__(self) -> Iterator[B]:
        worker = get_worker_info()
        rng = random.Random(f"{self._plan.seed} {self._step} {worker.id if worker else 0}")
        while True:
            examples = [self._cutter.draw(rng, done=self._done.value) for _ in range(self._plan.batch)]
            yield self._objective.collate(examples)


def _optimizers(model: DiffusionGemmaForBlockDiffusion, plan: Plan) -> list[torch.optim.Optimizer]:
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        hidden = parameter.ndim == 2 and "embed" not in name and "router" not in name
        (matrices if hidden else others).append(parameter)
    muon = torch.optim.Muon([{"params": matrices, "peak": plan.muon_rate}], lr=plan.muon_rate, weight_decay=0.02)
    adam = torch.optim.AdamW(
        [{"params": others, "peak": plan.adam_rate}], lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    return [muon, adam]


def _schedule(done: float, step: int) -> float:
    """The share of the peak rate: 100 steps of warm-up, then constant, then linear to 2 % over the last 40 %."""
    return min((step + 1) / 100, 1.0, max(0.02, (1.0 - done) / 0.4))
