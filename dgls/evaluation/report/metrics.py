"""Figures of an evaluation: shares with their intervals, and the curves behind the plots.

Pure functions over outcomes; they know neither the model nor the display. A share or mean of nothing is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from dgls.evaluation.cases.case import CaseOutcome

BUCKETS = ((1, 4), (5, 8), (9, 16), (17, 32), (33, None))
"""Lengths of the answer in tokens, both ends included."""
BINS = 10
"""Bins of the reliability curve, of equal mass: each holds as many suggestions as the others."""
SHOW_RATES = 20
"""Points of the show curve: every 5 %."""
_Z = 1.959964  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval: it holds for shares near 0 and 1 too, and for few cases."""
        if not self.total:
            return None
        share, square = self.count / self.total, _Z**2 / self.total
        middle = share + square / 2
        reach = _Z * math.sqrt(share * (1 - share) / self.total + square / (4 * self.total))
        low, high = (middle - reach) / (1 + square), (middle + reach) / (1 + square)
        return (0.0 if self.count == 0 else low), (1.0 if self.count == self.total else high)


@dataclass(frozen=True, slots=True)
class Bin:
    """Suggestions of similar confidence: from `low` to `high`, `confidence` on average, of which `right` were exact."""

    low: float
    high: float
    confidence: float
    right: Share


@dataclass(frozen=True, slots=True)
class ShowPoint:
    """The suggestions with at least confidence `threshold`: their share of all holes, and how many are exact."""

    threshold: float
    shown: Share
    exact: Share


@dataclass(frozen=True, slots=True)
class Summary:
    """`passed`: of those whose tests were run. `suggested` and `shown`: of all holes. `parses` and `repeats_after`: of
    the suggestions (`parses` where the author's file does); `raw_repeats_after`: of what the model wrote.
    `calibration_error`: of the suggestions, None if the model is not calibrated. Steps, passes and milliseconds: of the
    holes that the model was run for.
    """

    n: int
    passed: Share
    exact: Share
    similarity: float | None
    suggested: Share
    parses: Share
    repeats_after: Share
    raw_repeats_after: Share
    shown: Share
    shown_exact: Share
    calibration_error: float | None
    steps: float | None
    passes: float | None
    p50_ms: float | None
    p90_ms: float | None


def summarise(outcomes: Sequence[CaseOutcome]) -> Summary:
    made = suggestions(outcomes)
    shown = [outcome for outcome in outcomes if outcome.shown]
    run = [outcome for outcome in outcomes if outcome.finish is not None]
    ms = [outcome.ms for outcome in run]
    return Summary(
        n=len(outcomes),
        passed=_share(outcome.passed for outcome in outcomes),
        exact=_share(outcome.exact for outcome in outcomes),
        similarity=_mean([outcome.similarity for outcome in outcomes]),
        suggested=Share(len(made), len(outcomes)),
        parses=_share(outcome.parses for outcome in made),
        repeats_after=_share(outcome.repeats_after for outcome in made),
        raw_repeats_after=_share(outcome.raw_repeats_after for outcome in run),
        shown=Share(len(shown), len(outcomes)),
        shown_exact=_share(outcome.exact for outcome in shown),
        calibration_error=calibration_error(outcomes),
        steps=_mean([outcome.steps for outcome in run]),
        passes=_mean([outcome.passes for outcome in run]),
        p50_ms=quantile(ms, 0.5),
        p90_ms=quantile(ms, 0.9),
    )


def by_kind(outcomes: Sequence[CaseOutcome]) -> dict[str, Summary]:
    """Summaries by kind, in order of first appearance."""
    return _grouped(outcomes, list(dict.fromkeys(outcome.kind for outcome in outcomes)), lambda outcome: outcome.kind)


def by_length(outcomes: Sequence[CaseOutcome]) -> dict[str, Summary]:
    """Summaries of the non-empty length buckets, shortest first."""
    names = [bucket_name(low) for low, _ in BUCKETS]
    summaries = _grouped(outcomes, names, lambda outcome: bucket_name(outcome.tokens))
    return {name: summary for name, summary in summaries.items() if summary.n}


def bucket_name(tokens: int) -> str:
    """An answer without a token counts as one of one token."""
    low, high = next((low, high) for low, high in BUCKETS if high is None or tokens <= high)
    return f"{low}+" if high is None else f"{low}-{high}"


def suggestions(outcomes: Iterable[CaseOutcome]) -> list[CaseOutcome]:
    """The outcomes that produced a suggestion."""
    return [outcome for outcome in outcomes if outcome.rejected is None]


def reliability(outcomes: Sequence[CaseOutcome], bins: int = BINS) -> list[Bin]:
    """The suggestions in non-empty bins of ascending confidence. Empty if the model is not calibrated."""
    ranked = _by_confidence(outcomes)
    bins = min(bins, len(ranked))
    borders = [len(ranked) * index // bins for index in range(bins + 1)] if bins else []
    return [_bin(ranked[start:end]) for start, end in pairwise(borders)]


def calibration_error(outcomes: Sequence[CaseOutcome], bins: int = BINS) -> float | None:
    """The expected calibration error: the mean distance of a bin's confidence from its share of exact suggestions."""
    filled = reliability(outcomes, bins)
    total = sum(each.right.total for each in filled)
    if not total:
        return None
    return sum(abs(each.confidence - each.right.count / each.right.total) * each.right.total for each in filled) / total


def show_curve(outcomes: Sequence[CaseOutcome], points: int = SHOW_RATES) -> list[ShowPoint]:
    """From showing only the surest to showing every suggestion. Suggestions of equal confidence appear together.

    Empty if the model is not calibrated.
    """
    ranked = _by_confidence(outcomes)[::-1]
    curve: dict[float, ShowPoint] = {}
    for index in range(1, points + 1):
        wanted = math.ceil(len(outcomes) * index / points)
        if not ranked or (wanted > len(ranked) and curve and min(curve) == ranked[-1][0]):
            break
        threshold = ranked[min(wanted, len(ranked)) - 1][0]
        shown = [outcome for confidence, outcome in ranked if confidence >= threshold]
        curve[threshold] = ShowPoint(threshold, Share(len(shown), len(outcomes)), _share(each.exact for each in shown))
    return list(curve.values())


def quantile(values: Sequence[float], share: float) -> float | None:
    """Linear between the two nearest values."""
    if not values:
        return None
    ranked = sorted(values)
    at = share * (len(ranked) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (at - low)


def _share(flags: Iterable[bool | None]) -> Share:
    """The share of true flags among those that are not None."""
    known = [flag for flag in flags if flag is not None]
    return Share(sum(known), len(known))


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _by_confidence(outcomes: Iterable[CaseOutcome]) -> list[tuple[float, CaseOutcome]]:
    """The suggestions that have a confidence, lowest first."""
    made = suggestions(outcomes)
    rated = [(outcome.confidence, outcome) for outcome in made if outcome.confidence is not None]
    return sorted(rated, key=lambda pair: pair[0])


def _bin(rated: Sequence[tuple[float, CaseOutcome]]) -> Bin:
    confidences = [confidence for confidence, _ in rated]
    return Bin(confidences[0], confidences[-1], fmean(confidences), _share(outcome.exact for _, outcome in rated))


def _grouped(
    outcomes: Sequence[CaseOutcome], names: Sequence[str], name_of: Callable[[CaseOutcome], str]
) -> dict[str, Summary]:
    groups: dict[str, list[CaseOutcome]] = {name: [] for name in names}
    for outcome in outcomes:
        groups[name_of(outcome)].append(outcome)
    return {name: summarise(group) for name, group in groups.items()}
