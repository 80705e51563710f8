"""Several lengths of a hole compete on a server: they are denoised together, and the seam decides which is kept.

    look (a few steps)  ->  judge, drop  ->  denoise what is left, from the start  ->  judge

Unlike `loop.contest`, a second request starts from noise again, because the server keeps nothing between two requests.
The look runs only if it decides something: which lengths go on, or the first token of a healed hole. If the deadline
passes before there is a better draft, the look's draft is the answer. Knows canvases and `Asking`, no HTTP; runs on the
engine thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from dgls_engine.loop.leads import DROP_AT, KEEP, Draft, Lead, lowest_entropy, score
from dgls_engine.remote.judging import seam
from dgls_engine.remote.rival import Rival
from dgls_engine.remote.wire import Ask, Told
from dgls_engine.text.reader import read
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Finish


class Asking(Protocol):
    """Sends passes to the server, for one request."""

    @property
    def prompt(self) -> Sequence[int]: ...

    def all(self, asks: Sequence[Ask]) -> list[Told | None]:
        """The answers in order; None for an answer that missed the deadline. Raises `Cancelled` and the server's
        errors."""
        ...


class Rivalry:
    """`hole` is the number of the contested one in each canvas; `behind` is the noise that stands behind it when they
    are judged, each token of it adds `bias` nats. `whole`: what ends a text early makes its length a wrong one."""

    def __init__(
        self,
        asking: Asking,
        tokenizer: Tokenizer,
        rivals: Sequence[Rival],
        hole: int,
        behind: Sequence[int],
        bias: float,
        whole: bool,
    ) -> None:
        self._asking, self._tokenizer, self._rivals = asking, tokenizer, list(rivals)
        self._canvases = [rival.canvas for rival in rivals]
        self._hole, self._behind, self._bias, self._whole = hole, behind, bias, whole
        self._passes = 0
        self._judged: list[tuple[Draft, float]] = []

    def run(self, steps: int) -> Iterator[Lead]:
        """Yields leads; the last one has the winner. Yields nothing if the deadline passes before the first answer."""
        looked = self._look(min(DROP_AT, steps))
        if looked:
            self._drop(looked)
            yield self._lead(looked, min(DROP_AT, steps), None)
        drafts = self._denoise(steps)
        if len(drafts) == len(self._rivals):
            in_time = len(drafts) == 1 or self._judge(drafts)
            yield self._lead(drafts, steps, "stable" if in_time else "deadline")
        elif drafts or looked:
            yield self._lead(drafts or looked, steps, "deadline")

    def _look(self, steps: int) -> list[Draft]:
        """Get a first draft of each rival and choose the first tokens of healed holes. Skipped if it decides
        nothing."""
        if len(self._rivals) <= KEEP and not any(rival.held for rival in self._rivals):
            return []
        asks = [rival.look(self._asking.prompt, steps, self._tokenizer) for rival in self._rivals]
        told = [one for one in self._asking.all(asks) if one is not None]
        self._passes += steps
        if len(told) < len(asks):
            return []
        self._rivals = [rival.hold(one, self._tokenizer) for rival, one in zip(self._rivals, told, strict=True)]
        return [rival.draft(one) for rival, one in zip(self._rivals, told, strict=True)]

    def _drop(self, looked: Sequence[Draft]) -> None:
        if len(looked) > KEEP and self._judge(looked):
            ahead = sorted(self._judged, key=lambda pair: self._score(*pair))[:KEEP]
            rivals = {rival.number: rival for rival in self._rivals}
            self._rivals = [rivals[draft.rival] for draft, _ in ahead]

    def _denoise(self, steps: int) -> list[Draft]:
        """The drafts that came back in time."""
        asks = {place: rival.ask(self._asking.prompt, steps) for place, rival in enumerate(self._rivals) if rival.free}
        told = dict(zip(asks, self._asking.all(list(asks.values())), strict=True))
        self._passes += steps if asks else 0
        return [
            rival.draft(told.get(place))
            for place, rival in enumerate(self._rivals)
            if place not in asks or told[place] is not None
        ]

    def _judge(self, drafts: Sequence[Draft]) -> bool:
        """Read the seam of all drafts. Returns whether there was time."""
        readings = [seam(self._canvases[draft.rival], draft.ids, self._hole, self._behind) for draft in drafts]
        asks = [reading.asks(self._asking.prompt) for reading in readings]
        told = iter(self._asking.all([ask for own in asks for ask in own]))
        answers = [[next(told) for _ in own] for own in asks]
        self._passes += 1
        judged = []
        for draft, reading, own in zip(drafts, readings, answers, strict=True):
            there = [answer for answer in own if answer is not None]
            if len(there) < len(own):
                return False
            judged.append((draft, -sum(reading.of(there).values())))
        self._judged = judged
        return True

    def _score(self, draft: Draft, nats: float) -> tuple[bool, float]:
        """The score; the lowest wins. A text that ends before its hole does was judged at a wrong length."""
        holes = self._canvases[draft.rival].holes
        span, start = holes[self._hole], sum(len(hole) for hole in holes[: self._hole])
        short = read(span, draft.ids[start : start + len(span)], self._tokenizer).count < len(span)
        return self._whole and short, score(span, nats, self._bias)

    def _lead(self, drafts: Sequence[Draft], steps: int, finish: Finish | None) -> Lead:
        """The best by the seam if these were judged; otherwise the draft of lowest entropy."""
        judged = [(draft, nats) for draft, nats in self._judged if any(draft is other for other in drafts)]
        by_seam = len(judged) == len(drafts)
        ahead = min(judged, key=lambda pair: self._score(*pair))[0] if by_seam else lowest_entropy(drafts)
        return Lead(ahead, steps, finish, self._passes, judged)
