"""Fits a model's calibration to code: how often is it right at a given probability, and which fills to show?

    fills -> equal-mass bins -> shares right, shrunk to the average -> isotonic regression -> points

Figures about a calibration come from fills that it was not fitted to (`held_out`). Pure except for `fill_case`, which
runs the model on the engine's thread.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from dgls.evaluation.cases.case import Case, CaseOutcome
from dgls.evaluation.report.metrics import suggestions
from dgls.evaluation.running.run_case import Conditions, Count, run_case, similarity
from dgls.suggest.exchange import Infiller
from dgls_engine.calibration import Calibration
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken, Infill, InfillRequest, Piece, Step, Trial

LEAST_FILLS, LEAST_LINES = 100, 50
"""The fewest fills to fit confidences, and the fewest later lines to fit `keep_above`."""
SHOWN_RIGHT = 0.25
"""An automatic suggestion is worth reading if one in four like it is what the author wrote, word for word."""
KEPT_RIGHT = 0.5
"""A later line stays if it is as likely right as not: a wrong one spoils the lines before it."""
FOLDS = 5

BIASES = tuple(sorted((step / 4 for step in range(-16, 17)), key=abs))
"""Candidates for the length bias, in nats per token. Of equally good ones the first wins: the nearest to 0."""

_POINTS, _LEAST_BIN = 19, 10
_PRIOR = 2.0  # average fills added to each bin, so that one lucky fill in ten makes no sure bin

Sample = tuple[float, bool]
"""A probability, and whether the text with this probability was right."""


@dataclass(frozen=True, slots=True)
class FilledCase:
    """A filled case without cut lines, with the samples of its lines after the first and the lengths tried."""

    case: Case
    outcome: CaseOutcome
    lines: tuple[Sample, ...]
    trials: tuple[Trial, ...] = ()


@dataclass(slots=True)
class _Recorder:
    """An engine that records its last infill."""

    engine: Infiller
    last: Infill | None = None

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        for event in self.engine.infill(request, cancel):
            if isinstance(event, Infill):
                self.last = event
            yield event


def fill_case(engine: Infiller, case: Case, count: Count, conditions: Conditions) -> FilledCase:
    """Raises what `run_case` raises."""
    recorder = _Recorder(engine)
    outcome = run_case(recorder, case, count, conditions)
    pieces = recorder.last.fills[0].pieces if recorder.last is not None else ()
    trials = recorder.last.fills[0].trials if recorder.last is not None else ()
    return FilledCase(case, outcome, later_lines(pieces, outcome.answer) if outcome.rejected is None else (), trials)


def fit(fills: Sequence[FilledCase], least_shown: float, before: Calibration) -> Calibration:
    """The calibration of the model that made `fills`. Values for which there are too few fills stay as `before`.

    `least_shown`: the least share of suggestions to show, even if they are right less often than `SHOWN_RIGHT`.
    """
    made = suggestions([each.outcome for each in fills])
    points = shares_right([(outcome.probability, outcome.exact) for outcome in made])
    confidences = [Calibration(points).confidence(outcome.probability) or 0.0 for outcome in made]
    lines = [sample for each in fills for sample in each.lines]
    return Calibration(
        points,
        show_above=shown_from(confidences, math.ceil(least_shown * len(made))),
        keep_above=kept_from(lines) if len(lines) >= LEAST_LINES else before.keep_above,
        length_bias=bias_from(
            [(each.outcome.answer, each.trials) for each in fills if each.trials], before.length_bias
        ),
    )


def shares_right(samples: Sequence[Sample]) -> tuple[tuple[float, float], ...]:
    """At most 20 points (probability, share right), ascending: isotonic regression by pooling adjacent violators.

    They start at (0, 0), so that even the least likely fills have an order.
    """
    ranked = sorted(samples)
    average = (sum(right for _, right in ranked) + 0.5) / (len(ranked) + 1)
    pools: list[_Pool] = []
    for start, end in _bins([confidence for confidence, _ in ranked]):
        right = sum(right for _, right in ranked[start:end])
        pools.append(_Pool(start, end, right + _PRIOR * average, end - start + _PRIOR))
        while len(pools) > 1 and pools[-2].share >= pools[-1].share:
            later, earlier = pools.pop(), pools.pop()
            pools.append(_Pool(earlier.start, later.end, earlier.right + later.right, earlier.count + later.count))
    points = [(ranked[(pool.start + pool.end) // 2][0], min(1.0, pool.share)) for pool in pools]
    return tuple([(0.0, 0.0), *points] if points and points[0][0] > 0.0 else points)


def shown_from(confidences: Sequence[float], least: int) -> float:
    """The threshold that shows fills which are right often enough, and at least the `least` surest."""
    ranked = sorted(confidences, reverse=True)
    return min(SHOWN_RIGHT, ranked[min(least, len(ranked)) - 1]) if least and ranked else SHOWN_RIGHT


def kept_from(lines: Sequence[Sample]) -> float:
    """The least probability from which on lines are right often enough; 1 if none is."""
    return next((confidence for confidence, share in shares_right(lines) if share >= KEPT_RIGHT), 1.0)


def bias_from(tried: Sequence[tuple[str, Sequence[Trial]]], before: float) -> float:
    """The bias, in nats per token, with which the chosen lengths give the texts most like the author's.

    `before` if too few holes had several lengths.
    """
    if len(tried) < LEAST_FILLS:
        return before
    like = [[(trial, similarity(trial.text, answer)) for trial in trials] for answer, trials in tried]

    def likeness(bias: float) -> float:
        return sum(min(trials, key=lambda each: each[0].nats + bias * each[0].tokens)[1] for trials in like)

    return max(BIASES, key=likeness)


def later_lines(pieces: Sequence[Piece], answer: str) -> tuple[Sample, ...]:
    """The lines of code after the first: the least probability of their tokens, and whether the author's line is equal,
    except for indentation."""
    text = "".join(piece.text for piece in pieces)
    owners = [piece.probability for piece in pieces for _ in piece.text]
    written = [line.strip() for line in answer.splitlines() if line.strip()]
    samples: list[Sample] = []
    start = 0
    for line in text.split("\n"):
        code = [owners[start + at] for at, char in enumerate(line) if not char.isspace()]
        if code:
            index = len(samples)
            samples.append((min(code), index < len(written) and written[index] == line.strip()))
        start += len(line) + 1
    return tuple(samples[1:])


def judged(outcome: CaseOutcome, calibration: Calibration) -> CaseOutcome:
    """The outcome with the same text under another calibration."""
    confidence = calibration.confidence(outcome.probability)
    shown = outcome.rejected is None and calibration.shows(confidence)
    return replace(outcome, confidence=confidence, shown=shown)


def held_out(fills: Sequence[FilledCase], least_shown: float, before: Calibration) -> list[CaseOutcome]:
    """Every outcome, judged by a calibration fitted without its package (or its file, if there are few packages)."""
    folds = _folds(fills)
    outcomes: list[CaseOutcome] = []
    for fold in range(FOLDS):
        rest = [each for each, index in zip(fills, folds, strict=True) if index != fold]
        calibration = fit(rest, least_shown, before)
        outcomes += [
            judged(each.outcome, calibration) for each, index in zip(fills, folds, strict=True) if index == fold
        ]
    return outcomes


def _folds(fills: Sequence[FilledCase]) -> list[int]:
    """A fold for each fill. Assigns groups of fills, the largest first, to the smallest fold."""
    by: tuple[Callable[[FilledCase], Hashable], ...] = (
        lambda each: each.case.package,
        lambda each: (each.case.package, each.case.path),
        lambda each: each.case.id,
    )
    group_of = next((group for group in by if len(set(map(group, fills))) >= FOLDS), by[-1])
    sizes = [0] * FOLDS
    fold_of: dict[Hashable, int] = {}
    for group, size in Counter(map(group_of, fills)).most_common():
        fold_of[group] = sizes.index(min(sizes))
        sizes[fold_of[group]] += size
    return [fold_of[group_of(each)] for each in fills]


@dataclass(frozen=True, slots=True)
class _Pool:
    """Samples `start` to `end` by rank, with the number of right ones and of all, including the prior."""

    start: int
    end: int
    right: float
    count: float

    @property
    def share(self) -> float:
        return self.right / self.count


def _bins(ranked: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Ranks in bins of equal mass; equal probabilities share a bin."""
    least = max(_LEAST_BIN, math.ceil(len(ranked) / _POINTS))
    start = 0
    while start < len(ranked):
        end = min(start + least, len(ranked))
        while end < len(ranked) and (ranked[end] == ranked[end - 1] or len(ranked) - end < least):
            end += 1
        yield start, end
        start = end
