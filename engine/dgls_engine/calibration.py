"""A curve from the probability of a fill to the share of such fills that were right.

A model gives high probabilities to some wrong fills, and how high depends on the model. `dgls calibrate` measures the
curve on real code; the profile stores it, with the thresholds for showing a suggestion. Numbers only; imports no torch
and may be used from any thread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from dgls_engine.model_files import shown

_MAX_POINTS, _LARGEST_BIAS = 10_000, 100.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """`points` are pairs (probability, share of right fills), ascending in both. Without points there is no confidence.

    An automatic suggestion is shown if its confidence is at least `show_above`. Its second and later lines are kept as
    long as each token has at least the probability `keep_above`. `length_bias` is added to a length's score for each
    token of the hole, in nats (policy `batch`).
    """

    points: tuple[tuple[float, float], ...] = ()
    show_above: float = 0.25
    keep_above: float = 0.3
    length_bias: float = 0.0

    def __post_init__(self) -> None:
        flat = [number for point in self.points for number in point]
        if not all(0.0 <= number <= 1.0 for number in (*flat, self.show_above, self.keep_above)):
            raise ValueError("a calibration's points and thresholds must be between 0 and 1")
        if len(self.points) > _MAX_POINTS:
            raise ValueError(f"a calibration must have at most {_MAX_POINTS} points, not {len(self.points)}")
        if not abs(self.length_bias) <= _LARGEST_BIAS:  # NaN, too
            raise ValueError(f"a calibration's length_bias must be from -{_LARGEST_BIAS} to {_LARGEST_BIAS}")
        probabilities, shares = [point[0] for point in self.points], [point[1] for point in self.points]
        if probabilities != sorted(set(probabilities)) or shares != sorted(shares):
            raise ValueError("a calibration's points must be in ascending order")

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of `as_json`; a missing key keeps its default. Raises `ValueError` if `value` is not valid."""
        names = [field.name for field in fields(cls)]
        if not isinstance(value, Mapping) or not set(value) <= set(names):
            raise ValueError(f"a calibration must be an object with some of {', '.join(names)}, not {shown(value)}")
        points = value.get("points", ())
        if not isinstance(points, (list, tuple)) or not all(_is_pair(point) for point in points):
            raise ValueError(f"a calibration's points must be pairs of numbers, not {shown(points)}")
        numbers = {name: number for name, number in value.items() if name != "points"}
        wrong = [name for name, number in numbers.items() if not _is_number(number)]
        if wrong:
            raise ValueError(f"a calibration's {wrong[0]} must be a number, not {shown(repr(numbers[wrong[0]]))}")
        return cls(points=tuple((point[0], point[1]) for point in points), **numbers)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def shows(self, confidence: float | None) -> bool:
        """Whether to show an automatic suggestion. One without a confidence is always shown."""
        return confidence is None or confidence >= self.show_above

    def confidence(self, probability: float) -> float | None:
        """The share of right fills at this probability, interpolated between the points; None without points."""
        if not self.points:
            return None
        above = bisect_right(self.points, (probability, 1.0))
        if above in (0, len(self.points)):
            return self.points[min(above, len(self.points) - 1)][1]
        (low, low_share), (high, high_share) = self.points[above - 1], self.points[above]
        return low_share + (high_share - low_share) * (probability - low) / (high - low)


def _is_pair(point: object) -> bool:
    return isinstance(point, (list, tuple)) and len(point) == 2 and all(_is_number(number) for number in point)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
