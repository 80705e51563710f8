"""What a model's own figures mean on real code: fitted by `dgls calibrate`, read with the model's profile.

A denoiser is sure of wrong fills too, and how sure depends on the model. A calibration maps the confidence that it
reports to the share of such fills that were right, and says from where on they are worth showing. Pure numbers;
imports no torch and may be used from any thread.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Calibration:
    """`points` map a fill's probability to the share right: (probability, share), ascending in both. Without points
    there is no confidence.

    Automatic suggestions need the calibrated confidence `show_above`; a line after the first is kept while each of
    its tokens has the raw confidence `keep_above`. `length_bias`: nats that each token of a hole adds to the score of
    its length (policy `batch`).
    """

    points: tuple[tuple[float, float], ...] = ()
    show_above: float = 0.25
    keep_above: float = 0.3
    length_bias: float = 0.0

    def __post_init__(self) -> None:
        flat = [number for point in self.points for number in point]
        if not all(0.0 <= number <= 1.0 for number in (*flat, self.show_above, self.keep_above)):
            raise ValueError("a calibration's points and thresholds lie between 0 and 1")
        if not math.isfinite(self.length_bias):
            raise ValueError("a calibration's length_bias is a finite number")
        raws, shares = [point[0] for point in self.points], [point[1] for point in self.points]
        if raws != sorted(set(raws)) or shares != sorted(shares):
            raise ValueError("a calibration's points ascend")

    @classmethod
    def from_json(cls, value: object) -> Self:
        """What `as_json` gave; what is missing keeps its default. Raises `ValueError` with what is wrong."""
        names = [own.name for own in fields(cls)]
        if not isinstance(value, Mapping) or not set(value) <= set(names):
            raise ValueError(f"a calibration is an object with some of {', '.join(names)}, not {value!r}")
        points = value.get("points", ())
        if not isinstance(points, (list, tuple)) or not all(_is_pair(point) for point in points):
            raise ValueError(f"a calibration's points are pairs of numbers, not {points!r}")
        numbers = {name: number for name, number in value.items() if name != "points"}
        wrong = [name for name, number in numbers.items() if not _is_number(number)]
        if wrong:
            raise ValueError(f"a calibration's {wrong[0]} is a number, not {numbers[wrong[0]]!r}")
        return cls(points=tuple((point[0], point[1]) for point in points), **numbers)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def shows(self, confidence: float | None) -> bool:
        """Whether an automatic suggestion is worth showing; without a confidence there is no threshold."""
        return confidence is None or confidence >= self.show_above

    def confidence(self, raw: float) -> float | None:
        """The share right of fills whose own confidence is `raw`, linear between the points; None without points."""
        if not self.points:
            return None
        at = bisect_right(self.points, (raw, 1.0))
        if at in (0, len(self.points)):
            return self.points[min(at, len(self.points) - 1)][1]
        (left, low), (right, high) = self.points[at - 1], self.points[at]
        return low + (high - low) * (raw - left) / (right - left)


def _is_pair(point: object) -> bool:
    return isinstance(point, (list, tuple)) and len(point) == 2 and all(_is_number(number) for number in point)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
