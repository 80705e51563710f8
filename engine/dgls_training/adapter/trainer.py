"""One leg of training: a planned length with one schedule, in one process, resumable at any time.

The rate warms up, then falls along a cosine to the end of the LEG, however often the leg was interrupted: a leg whose
rate did not fall leaves the adapter worse than it was. So the plan is stored, and a resumed leg keeps it. The examples
of a step depend only on the seed and the step's number: a resumed leg trains on the same examples as one that was never
interrupted.
"""

from __future__ import annotations

import json
import math
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from dgls_engine.device import device_name
from dgls_training import run_folder
from dgls_training.adapter.base import Base
from dgls_training.adapter.examples import Cutter, Lengths
from dgls_training.adapter.objective import Batch, losses
from dgls_training.adapter.weights import SHIPPED, Adapter

_WARM_UP = 20
"""Steps in which the rate rises."""

_LEAST = 0.05
"""The share of the peak rate at the start and at the end."""

_ENDS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Plan:
    """The leg ends after `minutes` of training or `steps`, whichever comes first. `soft`: the share of the base's own
    distribution in the targets of slots that are not next. `read`: how many of the `draws` have all slots decided.
    `rank` None keeps the rank of `init`."""

    minutes: float
    steps: int | None = None
    init: str = SHIPPED
    rank: int | None = None
    rate: float = 5e-4
    contexts: int = 8
    draws: int = 8
    read: int = 1
    soft: float = 0.5
    seed: int = 0
    before: int = 160
    after: int = 112
    slots: int = 20

    @property
    def lengths(self) -> Lengths:
        return Lengths(self.before, self.after, self.slots)

    def save(self, run: Path) -> None:
        (run / "leg.json").write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, run: Path) -> Plan | None:
        """The plan of the leg in the folder `run`, if it has one."""
        path = run / "leg.json"
        if not path.exists():
            return None
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(slots=True)
class Progress:
    step: int = 0
    seconds: float = 0.0

    def share(self, plan: Plan) -> float:
        """The share of the leg that is done; the leg ends at 1."""
        return max(self.seconds / (60 * plan.minutes), self.step / plan.steps if plan.steps else 0.0)


class Trainer:
    """Trains `adapter` in place. `mask`: the id of the mask token."""

    report_every = 20
    """Steps between two records of the log."""
    save_after = 240.0
    """Seconds of training between two checkpoints."""

    def __init__(self, run: Path, plan: Plan, base: Base, mask: int, adapter: Adapter) -> None:
        self._run, self._plan, self._base, self._mask = run, plan, base, mask
        self.adapter = adapter.to(base.device)
        self._optimizer = torch.optim.AdamW(
            self.adapter.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        self._progress = Progress()
        self._recent: list[list[float]] = []

    @property
    def over(self) -> bool:
        return self._progress.share(self._plan) >= 1

    def resume(self) -> bool:
        """Resume from the last checkpoint, if there is one."""
        if not run_folder.exists(self._run):
            return False
        state = run_folder.load(self._run, self._base.device)
        self.adapter.load_state_dict(state["adapter"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._progress, self._recent = Progress(**state["progress"]), state["recent"]
        run_folder.rewind(self._run, self._progress.step)
        return True

    def train(self, cutter: Cutter) -> None:
        """Train until the leg is over, or until the process is told to end (Ctrl-C, SIGTERM); then save."""
        saved = self._progress.seconds
        started = time.monotonic() - saved
        with _interrupts() as interrupted:
            while not self.over and not interrupted():
                self._step(cutter)
                self._progress.seconds = time.monotonic() - started
                if self.over or self._progress.step % self.report_every == 0:
                    self._report()
                if self._progress.seconds - saved > self.save_after:
                    saved = self._progress.seconds
                    self._save()
            self._save()
        if not self.over:
            print("interrupted; run the same command again to resume", flush=True)

    def _step(self, cutter: Cutter) -> None:
        plan = self._plan
        rng = random.Random(f"{plan.seed} {self._progress.step}")
        windows = [cutter.draw(rng) for _ in range(plan.contexts)]
        batch = Batch.of(windows, plan.draws, plan.read, rng).to(self._base.device)
        for group in self._optimizer.param_groups:
            group["lr"] = plan.rate * rate_share(self._progress.step, self._progress.share(plan))
        step_losses = losses(self._base, self.adapter, self._mask, batch, plan.soft)
        torch.autograd.backward(step_losses.total)
        torch.nn.utils.clip_grad_norm_(self.adapter.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._recent.append([step_losses.total.item(), step_losses.hard, step_losses.next])
        self._progress.step += 1

    def _report(self) -> None:
        plan, progress = self._plan, self._progress
        loss, hard, following = (sum(values) / len(values) for values in zip(*self._recent, strict=True))
        record = asdict(progress) | {"loss": round(loss, 4), "hard": round(hard, 4), "next": round(following, 4)}
        record |= {"draws": progress.step * plan.contexts * plan.draws, "device": device_name(self._base.device)}
        run_folder.log(self._run, record)
        left = progress.seconds * (1 / progress.share(plan) - 1) / 60
        print(
            f"step {progress.step}, {progress.seconds / 60:.1f} min: loss {loss:.3f} (true tokens {hard:.3f}, next "
            f"{following:.3f}), {record['draws'] / progress.seconds:.1f} draws/s, {max(0.0, left):.0f} min left",
            flush=True,
        )
        self._recent = []

    def _save(self) -> None:
        state: dict[str, Any] = {
            "adapter": self.adapter.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "progress": asdict(self._progress),
            "recent": self._recent,
        }
        run_folder.save(self._run, state)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether a signal has asked the process to end. Handled between steps: a step that is broken off would leave
    weights that its count does not tell of."""
    signals: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: signals.append(number)) for number in _ENDS}
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def rate_share(step: int, done: float) -> float:
    """The share of the peak rate at a step, when the share `done` of the leg is over."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return min(1.0, step / _WARM_UP + _LEAST) * (_LEAST + (1 - _LEAST) * cosine)
