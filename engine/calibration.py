"""What a model's own figures mean on real code: fitted by `dgls calibrate`, read with the model's profile.

A denoiser is sure of wrong fills too, and how sure depends on the model. A calibration maps the confidence that it
reports to the share of such fills that were right, and says from where on they are worth showing. Pure numbers;
imports no torch and may be used from any thread.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """`points` map raw confidence to the share right: (raw, share) ascending in both; none: the raw one stands.

    Automatic suggestions need the calibrated confidence `show_above`; a line after the first is kept while each of
    its tokens has the raw confidence `keep_above`. `length_bias`: nats that each token of a hole adds to the score of
    its length (policy `batch`).
    """

    points: tuple[tuple[float, float], ...] = ()
    show_above: float = 0.4
    keep_above: float = 0.3
    length_bias: float = 0.0

    def __post_init__(self) -> None:
        flat = [number for point in self.points for number in point]
        if not all(0.0 <= number <= 1.0 for number in (*flat, self.show_above, self.keep_above)):
            raise ValueError("a calibration's points and thresholds lie between 0 and 1")
        raws, shares = [point[0] for point in self.points], [point[1] for point in self.points]
        if raws != sorted(set(raws)) or shares != sorted(shares):
            raise ValueError("a calibration's points ascend")

    def confidence(self, raw: float) -> float:
        """The share right of fills whose own confidence is `raw`, linear between the points."""
        if not self.points:
            return raw
        at = bisect_right(self.points, (raw, 1.0))
        if at in (0, len(self.points)):
            return self.points[min(at, len(self.points) - 1)][1]
        (left, low), (right, high) = self.points[at - 1], self.points[at]
        return low + (high - low) * (raw - left) / (right - left)
