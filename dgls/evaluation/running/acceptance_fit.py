"""Fits a model's calibration to what the user took of the suggestions that were shown.

Here "right" means taken. The log knows only what was shown: of less probable suggestions it says nothing, so there the
calibration in use stays, as far as it claims no more. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dgls.evaluation.report.metrics import Share
from dgls.evaluation.running.calibration_fit import FOLDS, Sample, shares_right, shown_from
from dgls_engine.calibration import Calibration


@dataclass(frozen=True, slots=True)
class Taken:
    """Of the logged suggestions, how many were taken; how many would be shown from now on; how many of these were
    taken. The last two come from calibrations that were not fitted to the suggestions they judge."""

    taken: Share
    shown: Share
    shown_taken: Share


def refit(samples: Sequence[Sample], least_shown: float, before: Calibration) -> Calibration:
    """`samples`: the probability of each suggestion, and whether it was taken. `least_shown`: the least share of them
    to show, even if they are taken less often than the threshold asks for."""
    fitted = shares_right(samples)
    least = min(probability for probability, _ in samples)
    logged = [point for point in fitted if point[0] >= least]
    unseen = [(at, min(share, logged[0][1])) for at, share in before.points if at < least]
    points = (*unseen, *logged) if unseen else fitted
    curve = Calibration(points)
    confidences = [curve.confidence(probability) or 0.0 for probability, _ in samples]
    return replace(before, points=points, show_above=shown_from(confidences, math.ceil(least_shown * len(samples))))


def figures(samples: Sequence[Sample], least_shown: float, before: Calibration) -> Taken:
    """Each fifth of the samples is judged by the calibration of the others."""
    shown: list[bool] = []
    for fold in range(FOLDS):
        rest = [sample for index, sample in enumerate(samples) if index % FOLDS != fold]
        calibration = refit(rest, least_shown, before)
        judged = [sample for index, sample in enumerate(samples) if index % FOLDS == fold]
        shown += [taken for at, taken in judged if calibration.shows(calibration.confidence(at))]
    return Taken(
        Share(sum(taken for _, taken in samples), len(samples)),
        Share(len(shown), len(samples)),
        Share(sum(shown), len(shown)),
    )
