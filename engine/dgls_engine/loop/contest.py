"""Several lengths or drafts of a hole compete: they are denoised in one batch, and a judge decides which of them are
dropped and which wins.

A single rival wins without being judged. Knows no text. Runs on the engine thread; one object serves one batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from dgls_engine.errors import Cancelled
from dgls_engine.loop.choice import Choosing, Plain
from dgls_engine.loop.denoise import Rival, denoise
from dgls_engine.loop.leads import DROP_AT, KEEP, Draft, Lead, lowest_entropy, score
from dgls_engine.loop.stopping import Deadline, Schedule
from dgls_engine.model.passes import Passes
from dgls_engine.text.canvas import Canvas
from dgls_engine.types import CancelToken, Finish


class Judge(Protocol):
    def nats(
        self, passes: Passes[Any], canvases: Sequence[Canvas], drafts: Sequence[Sequence[int]], hole: int
    ) -> list[float]:
        """How much each canvas with its draft surprises the model at hole number `hole`. Takes one pass."""
        ...

    def first(self, canvases: Sequence[Canvas], drafts: Sequence[Draft], hole: int) -> int | None:
        """The rival that goes on alone after the first step; None if several do. `canvases` are those of all rivals."""
        ...

    def beaten(self, draft: Draft, by: Draft) -> bool:
        """Whether a draft that is still running cannot win against a settled one."""
        ...


class Contest:
    """The rivals for hole number `hole` of a canvas. Each token of the hole adds `bias` nats to the judge's."""

    def __init__(
        self,
        passes: Passes[Any],
        rivals: Sequence[Rival],
        hole: int,
        judge: Judge,
        bias: float,
        choosing: Choosing = Plain,
    ) -> None:
        self._decoding, self._rivals = passes, rivals
        self._hole, self._judge, self._bias = hole, judge, bias
        self._choosing = choosing
        self._drafts: dict[int, Draft] = {}
        self._nats: dict[int, float] = {}
        self._index = self._passes = 0

    def run(self, schedule: Schedule, deadline: Deadline, cancel: CancelToken) -> Iterator[Lead]:
        """A `Lead` for each step; the last lead has the winner. Raises `Cancelled` as `denoise` does."""
        began = deadline.now()

        def hurried() -> bool:
            """Whether another pass, as long as those before, would miss the deadline."""
            return deadline.strikes_within((deadline.now() - began) / self._passes)

        def survivors(drafts: Sequence[Draft]) -> Collection[int]:
            self._index += 1
            self._passes += 1
            self._drafts |= {draft.rival: draft for draft in drafts}
            if self._index == 1 and len(self._drafts) > 1 and (chosen := self._first(drafts)) is not None:
                self._drafts = {chosen: self._drafts[chosen]}
            if self._index == DROP_AT and len(self._drafts) > KEEP and not hurried():
                self._read(cancel)
                kept = sorted(self._drafts, key=self._score)[:KEEP]
                self._drafts = {number: self._drafts[number] for number in kept}
            settled = [draft for draft in self._drafts.values() if draft.finish == "stable"]
            self._drafts = {
                number: draft
                for number, draft in self._drafts.items()
                if draft.finish is not None or not any(self._judge.beaten(draft, other) for other in settled)
            }
            return self._drafts.keys()

        for drafts in denoise(
            self._decoding,
            self._rivals,
            schedule=schedule,
            deadline=deadline,
            cancel=cancel,
            survivors=survivors,
            choosing=self._choosing,
        ):
            finish = self._finish(drafts)
            if finish is not None and len(self._drafts) > 1 and finish != "deadline" and not hurried():
                self._read(cancel)
            yield Lead(self._ahead(), self._index, finish, self._passes, self._judged())

    def _finish(self, drafts: Sequence[Draft]) -> Finish | None:
        """Why the contest is over after a step with these drafts; None if it goes on. A deadline of one rival ends
        the contest."""
        left = [draft.finish for draft in drafts if draft.rival in self._drafts]
        if not left:
            return "stable"  # all running rivals were dropped; the others had settled before
        if "deadline" in left:  # even if others settled in the same step, there is no time for another turn
            return "deadline"
        return None if None in left else left[-1]

    def _first(self, drafts: Sequence[Draft]) -> int | None:
        return self._judge.first([rival.canvas for rival in self._rivals], drafts, self._hole)

    def _read(self, cancel: CancelToken) -> None:
        """Judge all remaining rivals in one pass."""
        if cancel.cancelled:
            raise Cancelled
        self._passes += 1
        canvases = [self._rivals[number].canvas for number in self._drafts]
        drafts = [draft.ids for draft in self._drafts.values()]
        nats = self._judge.nats(self._decoding, canvases, drafts, self._hole)
        self._nats = dict(zip(self._drafts, nats, strict=True))

    def _judged(self) -> list[tuple[Draft, float]]:
        return [(draft, self._nats[number]) for number, draft in self._drafts.items() if number in self._nats]

    def _score(self, number: int) -> float:
        return score(self._rivals[number].canvas.holes[self._hole], self._nats[number], self._bias)

    def _ahead(self) -> Draft:
        """The best as last judged; before that, the draft of lowest entropy."""
        if self._nats:
            return self._drafts[min(self._drafts, key=self._score)]
        return lowest_entropy(self._drafts.values())
