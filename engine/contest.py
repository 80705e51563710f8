"""Several lengths of a hole compete: denoised in one batch, dropped where they are behind, judged at the seam.

One candidate alone wins unopposed, and nothing is computed for it but its steps. Knows no text; runs on the engine
thread, where one object serves one batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import decoder
from engine.denoise import Candidate, Progress, denoise
from engine.sampler import Schedule
from engine.seam import surprises
from engine.stopping import Deadline
from engine.types import CancelToken, Finish

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion

DROP_AT, KEEP = 2, 6
"""After this step only so many candidates go on."""


@dataclass(frozen=True, slots=True)
class Lead:
    """Who is ahead after the step `index` of the batch, which may have been settled before; `finish` says why the
    contest is over. `passes`: forward passes so far. `scores` of candidates, low is good, once they are judged."""

    progress: Progress
    index: int
    finish: Finish | None
    passes: int
    scores: dict[int, float]


class Contest:
    """The candidates of one hole, which is number `hole` in each of their canvases. `bias`: nats a token of it."""

    def __init__(
        self,
        model: DiffusionGemmaForBlockDiffusion,
        prompt: decoder.Prompt,
        candidates: Sequence[Candidate],
        hole: int,
        bias: float,
    ) -> None:
        self._model, self._prompt, self._candidates = model, prompt, candidates
        self._hole, self._bias = hole, bias
        self._latest: dict[int, Progress] = {}
        self._dropped: set[int] = set()

    def run(self, schedule: Schedule, deadline: Deadline, cancel: CancelToken) -> Iterator[Lead]:
        """A `Lead` a step; the last one has the winner. Raises `Cancelled` as `denoise` does."""
        batches = denoise(
            self._model,
            self._prompt,
            self._candidates,
            schedule=schedule,
            deadline=deadline,
            cancel=cancel,
            survivors=self._survivors,
        )
        for steps in batches:
            self._latest |= {step.candidate: step for step in steps}
            running = [step for step in steps if step.finish is None and step.candidate not in self._dropped]
            if running:
                yield Lead(self._ahead(), steps[0].index, None, steps[0].index, {})
            else:
                yield self._decided(steps, deadline)

    def _survivors(self, steps: Sequence[Progress]) -> Collection[int]:
        rivals = sorted(self._rivals() | {step.candidate: step for step in steps})
        latest = self._latest | {step.candidate: step for step in steps}
        kept = sorted(rivals, key=lambda number: self._unsure(latest[number]))
        if steps[0].index >= DROP_AT:
            self._dropped |= set(kept[KEEP:])
        return set(rivals) - self._dropped

    def _rivals(self) -> dict[int, Progress]:
        return {number: step for number, step in self._latest.items() if number not in self._dropped}

    def _ahead(self) -> Progress:
        return min(self._rivals().values(), key=self._unsure)

    def _unsure(self, step: Progress) -> float:
        """What a step itself tells of its candidate, without a pass of its own: nats, low is good."""
        return -float(step.logits.log_softmax(-1).amax(-1).sum()) + self._bias * len(step.draft)

    def _decided(self, steps: Sequence[Progress], deadline: Deadline) -> Lead:
        """The last step's lead: by the seam, unless the deadline leaves no time to read it."""
        index, rivals = steps[0].index, self._rivals()
        late = any(step.finish == "deadline" for step in steps)
        if late or len(rivals) == 1:
            best = self._ahead()
            return Lead(best, index, "deadline" if late else best.finish, index, {})
        canvases = [self._candidates[number].canvas for number in rivals]
        read = surprises(self._model, self._prompt, canvases, [step.draft for step in rivals.values()], self._hole)
        lengths = [len(canvas.holes[self._hole]) for canvas in canvases]
        scores = {n: nats + self._bias * size for n, nats, size in zip(rivals, read, lengths, strict=True)}
        winner = rivals[min(scores, key=lambda number: scores[number])]
        return Lead(winner, index, winner.finish, index + 1, scores)
