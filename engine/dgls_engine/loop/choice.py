"""From the hole rows' hidden states to a step's drafts, and to what stands in the holes at the next step.

`Plain` is the reference: PyTorch operations, the draws in the order of transformers' sampler, so that without pins our
loop gives its tokens one by one. `Fused` reads the head's output once and once more, by kernels that draw numbers of
their own: other tokens, by the same probabilities. Either serves one batch of canvases, in which a canvas gets what
it would get alone. Runs on the engine thread. Shapes: B canvases, R hole rows of all of them, D hidden, V vocabulary.
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
from dgls_engine.model.batches import sent
from dgls_engine.model.passes import Head

Report = tuple[list[int], list[float], list[float]]
"""Of each hole row: the best token, the entropy in nats at the step's temperature, and the logarithm of the best
token's probability at temperature 1."""


class Choice(Protocol):
    """One step's."""

    def report(self) -> Report:
        """Waits for the device, once."""
        ...

    def advance(self, on: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """What the canvases `on`, which ascend and are never none, hold at the next step: ids [R], and the signal
        [R, D] of the head. To be called once at most."""
        ...


class Chooser(Protocol):
    def choose(self, hidden: Tensor, step: int, temperature: float) -> Choice:
        """From hidden states [R, D] of the hole rows."""
        ...


Choosing = Callable[[Head, Sequence[Any], Sequence[Constraint]], Chooser]
"""Makes the chooser of a batch: a sampler of its own kind and a constraint a canvas."""


def choosing_on(device: torch.device) -> Choosing:
    """The fastest there is."""
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
    """CUDA with Triton. All is under way before `report` waits for its part of it."""

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

    def choose(self, hidden: Tensor, step: int, temperature: float) -> Choice:
        logits, cap = self._head.raw(hidden), self._head.cap
        assert cap is not None, "the kernels read capped logits"
        measures = self._kernels.measure(logits, self._rows, cap, temperature, step)
        report = _Report(measures.report)
        drawn = self._kernels.spread(logits, self._rows, measures, cap, temperature)
        ids = self._kernels.settle(drawn, self._rows, measures, self._bound, max(self._sizes), step)
        return _FusedChoice(self._sizes, report, ids, self._head.mean(logits))


class _Report:
    """On its way to the host, behind what the device has to do for it and before what comes next."""

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
