"""From the hole rows' hidden states to a step's drafts, and to the ids in the holes at the next step.

`Plain` is the reference: it uses PyTorch operations and draws in the order of transformers' sampler, so without pins
our loop gives the same tokens. `Fused` uses kernels that read the head's output only twice. They draw other random
numbers, so they give other tokens with the same probabilities. Either serves one batch of canvases, and a canvas gets
the same result as if it were alone. Runs on the engine thread. Shapes: B canvases, R hole rows of all of them, D
hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor

from dgls_engine.loop.constraint import Constraint, Rules
from dgls_engine.loop.sampler import Sampler, entropy
from dgls_engine.model import kernels
from dgls_engine.model.batches import Places, sent
from dgls_engine.model.passes import Head

Report = tuple[list[int], list[float], list[float]]
"""For each hole row: the best token, the entropy in nats at the step's temperature, and the best token's
log-probability at temperature 1."""


class Choice(Protocol):
    """The choice of one step."""

    def report(self) -> Report:
        """The step's report. Waits for the device."""
        ...

    def advance(self, on: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """The ids [R] in the holes of the canvases `on` at the next step, and the head's signal [R, D]. `on` is
        ascending and not empty. Call this once at most."""
        ...


class Chooser(Protocol):
    def reads(self, rows: Places) -> Places:
        """Which of the hole rows [R] the next step reads [r]."""
        ...

    def choose(self, hidden: Tensor, step: int, temperature: float) -> Choice:
        """From hidden states [r, D] of the rows that it reads."""
        ...


Choosing = Callable[[Head, Sequence[Any], Sequence[Constraint]], Chooser]
"""Makes the chooser of a batch from a sampler and a constraint for each canvas. The sampler's type depends on the
chooser."""


def choosing_on(device: torch.device) -> Choosing:
    """The fastest chooser for the device."""
    return Fused if kernels.usable(device) else Plain


class Plain:
    """The reference."""

    def __init__(
        self,
        head: Head,
        samplers: Sequence[Sampler],
        constraints: Sequence[Constraint],
    ) -> None:
        self._head, self._samplers = head, samplers
        self._sizes = [len(own.leads) for own in constraints]
        self._rules = Rules.of(constraints)

    def reads(self, rows: Places) -> Places:
        return rows

    def choose(self, hidden: Tensor, step: int, temperature: float) -> Choice:
        logits = self._rules.apply(self._head.logits(hidden))
        return _PlainChoice(self._head, self._samplers, self._sizes, logits, temperature)


class _PlainChoice:
    def __init__(
        self,
        head: Head,
        samplers: Sequence[Sampler],
        sizes: list[int],
        logits: Tensor,
        temperature: float,
    ) -> None:
        self._head, self._samplers, self._sizes = head, samplers, sizes
        self._tempered = logits / temperature
        self._probabilities = self._tempered.softmax(-1)
        self._entropies = entropy(self._probabilities)
        self._log_probabilities = logits.log_softmax(-1).amax(-1)

    def report(self) -> Report:
        best = self._tempered.argmax(-1).float()  # exact: no vocabulary comes near 2 ** 24
        drafts, entropies, log_probabilities = torch.stack([best, self._entropies, self._log_probabilities]).tolist()
        return list(map(int, drafts)), entropies, log_probabilities

    def advance(self, on: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        tempered, probabilities, entropies = (
            values.split_with_sizes(self._sizes) for values in (self._tempered, self._probabilities, self._entropies)
        )
        ids = [self._samplers[number].advance(probabilities[number], entropies[number]) for number in on]
        kept = self._tempered if len(on) == len(self._sizes) else torch.cat([tempered[number] for number in on])
        return torch.cat(ids), self._head.signal(kept)


class Fused:
    """CUDA with Triton. `choose` queues all work on the device; `report` waits only for its part."""

    def __init__(
        self,
        head: Head,
        samplers: Sequence[Sampler],
        constraints: Sequence[Constraint],
    ) -> None:
        from dgls_engine.model.kernels import sampling  # Triton is not everywhere

        self._kernels = sampling
        self._head = head
        (self._bound,) = {own.entropy_bound for own in samplers}
        self._sizes = [len(own.leads) for own in constraints]
        rules, device = Rules.of(constraints), head.device
        seeds = [own.seed for own, size in zip(samplers, self._sizes, strict=True) for _ in range(size)]
        places = [place for size in self._sizes for place in range(size)]
        starts = [0, *accumulate(self._sizes)]
        self._rows = sampling.Rows(
            rules.banned,
            rules.banned_by.int(),
            rules.favoured.int(),
            rules.leads,
            sent(torch.tensor(seeds), device),
            sent(torch.tensor(places, dtype=torch.int32), device),
            sent(torch.tensor(starts, dtype=torch.int32), device),
        )

    def reads(self, rows: Places) -> Places:
        return rows

    def choose(self, hidden: Tensor, step: int, temperature: float) -> Choice:
        logits, cap = self._head.raw(hidden), self._head.cap
        assert cap is not None, "the kernels read capped logits"
        measures = self._kernels.measure(logits, self._rows, cap, temperature, step)
        report = _Report(measures.report)
        drawn = self._kernels.spread(logits, self._rows, measures, cap, temperature)
        ids = self._kernels.settle(drawn, self._rows, measures, self._bound, max(self._sizes), step)
        return _FusedChoice(self._sizes, report, ids, self._head.mean(logits))


class _Report:
    """A copy to the host, queued after the kernels that compute the report and before the following ones."""

    def __init__(self, values: Tensor) -> None:
        self._values = values.to("cpu", non_blocking=True)  # into pinned memory
        self._arrived = torch.Event(values.device) if values.is_cuda else None
        if self._arrived is not None:
            self._arrived.record()

    def read(self) -> Report:
        if self._arrived is not None:
            self._arrived.synchronize()
        drafts, entropies, log_probabilities = self._values.tolist()
        return list(map(int, drafts)), entropies, log_probabilities


class _FusedChoice:
    def __init__(self, sizes: list[int], report: _Report, ids: Tensor, signal: Tensor | None) -> None:
        self._sizes, self._report, self._ids, self._signal = sizes, report, ids, signal

    def report(self) -> Report:
        return self._report.read()

    def advance(self, on: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        if len(on) == len(self._sizes):
            return self._ids, self._signal
        ids = torch.cat([self._ids.split_with_sizes(self._sizes)[number] for number in on])
        if self._signal is None:
            return ids, None
        signals = self._signal.split_with_sizes(self._sizes)
        return ids, torch.cat([signals[number] for number in on])
