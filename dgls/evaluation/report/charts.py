"""Plots as SVG text; the page sets the colours of the classes `a`, `b`, `axis`, `grid`, `faint` (in `page`).

Plots are drawn for a column as narrow as a telephone, and scale up. Each mark has its figures as a tooltip. Pure
functions on numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from dgls.evaluation.report.metrics import Bin, Share, ShowPoint

WIDTH, HEIGHT = 380, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 14, 46
_MARGIN = 1.08  # the height of the axis, relative to the highest mark


@dataclass(frozen=True, slots=True)
class Bar:
    """A value from 0 to 1, or None for an empty place."""

    value: float | None
    interval: tuple[float, float] | None
    tooltip: str

    @classmethod
    def of(cls, share: Share) -> Bar:
        return cls(share.value, share.interval, percent(share))

    @property
    def highest(self) -> float:
        return self.interval[1] if self.interval else self.value or 0.0


@dataclass(frozen=True, slots=True)
class Series:
    """One bar for each group. `style` is the CSS class that colours them."""

    name: str
    style: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class _Frame:
    """The axes of a plot: from 0 to `right` across, from 0 to `top` upward."""

    right: float
    top: float

    def x(self, value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * value / self.right, 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value, self.top) / self.top, 1)

    def grid(self, label: str) -> str:
        """Horizontal grid lines at round shares up to `top`."""
        step = _round_step(self.top)
        lines = []
        for index in range(int(self.top / step + 1e-9) + 1):
            y = self.y(index * step)
            lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
            lines.append(_text(LEFT - 6, y + 3.5, f"{index * step:{_digits(step)}%}", "end"))
        return "".join(lines) + _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, label, "middle", "axis")

    def dot(self, x: float, y: float, style: str, tooltip: str) -> str:
        return f'<circle class="{style}" cx="{self.x(x)}" cy="{self.y(y)}" r="4">{_title(tooltip)}</circle>'

    def line(self, points: Iterable[tuple[float, float]], style: str) -> str:
        spelled = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        return f'<polyline class="{style} line" points="{spelled}"/>'

    def whisker(self, x: float, interval: tuple[float, float] | None) -> str:
        """`x` in pixels."""
        if interval is None:
            return ""
        low, high = interval
        return f'<line class="whisker" x1="{x}" x2="{x}" y1="{self.y(low)}" y2="{self.y(high)}"/>'


def bars_by_group(groups: Sequence[tuple[str, int]], series: Sequence[Series], label: str, description: str) -> str:
    """Bars side by side with their intervals; under each group its name and how many cases it has."""
    frame = _Frame(len(groups), _top(bar.highest for each in series for bar in each.bars))
    parts = [frame.grid(label)]
    width = (frame.x(1) - frame.x(0)) * 0.72 / len(series)
    for group, (name, cases) in enumerate(groups):
        middle = frame.x(group + 0.5)
        parts.append(_below_axis(middle, name) + _text(middle, HEIGHT - BOTTOM + 26, f"n {cases}"))
        for index, each in enumerate(series):
            x = round(middle + (index - len(series) / 2) * width, 1)
            parts.append(_bar(frame, x, width, each.style, each.bars[group], f"{name}: {each.name}"))
    return _svg(parts, description)


def _bar(frame: _Frame, x: float, width: float, style: str, bar: Bar, name: str) -> str:
    if bar.value is None:
        return ""
    y = frame.y(bar.value)
    return (
        f'<rect class="{style}" x="{x + 1:.1f}" y="{y}" width="{width - 2:.1f}" '
        f'height="{max(0.8, frame.y(0) - y):.1f}">{_title(f"{name} {bar.tooltip}")}</rect>'
        f"{frame.whisker(round(x + width / 2, 1), bar.interval)}"
    )


_APART = 16
"""Minimum distance in pixels between the centres of two counts."""


def reliability_plot(bins: Sequence[Bin], description: str) -> str:
    """Confidence on the x axis, the exact share on the y axis; both agree on the dashed line."""
    surest = max((each.confidence for each in bins), default=1.0)
    width = next(width for width in (0.1, 0.25, 0.5, 1.0) if surest <= width)
    frame = _Frame(width, _top([*(Bar.of(each.right).highest for each in bins), *(each.confidence for each in bins)]))
    end = min(width, frame.top)
    parts = [
        frame.grid("confidence"),
        frame.line([(0, 0), (end, end)], "faint"),
        _ticks(frame, [width * quarter / 4 for quarter in range(5)]),
    ]
    shares = [(each, each.right.value or 0.0) for each in bins]
    parts.append(frame.line([(each.confidence, share) for each, share in shares], "a"))
    labelled_at = -float(_APART)
    for each, share in shares:
        if frame.x(each.confidence) >= labelled_at + _APART:
            labelled_at = frame.x(each.confidence)
            parts.append(_text(labelled_at, TOP - 4, str(each.right.total)))
        words = f"confidence {each.low:.2f} to {each.high:.2f}: {percent(each.right)}"
        parts.append(frame.whisker(frame.x(each.confidence), each.right.interval))
        parts.append(frame.dot(each.confidence, share, "a", words))
    return _svg(parts, description)


def show_plot(points: Sequence[ShowPoint], now: tuple[Share, Share], description: str) -> str:
    """The share of holes shown on the x axis, their exact share on the y axis; `now` marks the profile's threshold."""
    shown = [(point.shown.value or 0.0, point.exact.value or 0.0, point) for point in points]
    frame = _Frame(1, _top([*(y for _, y, _ in shown), now[1].value or 0.0]))
    parts = [frame.grid("share of holes shown"), _ticks(frame, [0, 0.25, 0.5, 0.75, 1])]
    parts.append(frame.line([(x, y) for x, y, _ in shown], "a"))
    parts += [frame.dot(x, y, "a", f"from {at.threshold:.3f} on: {percent(at.exact)} exact") for x, y, at in shown]
    if now[0].value is not None and now[1].value is not None:
        parts.append(frame.dot(now[0].value, now[1].value, "b", f"as set: {percent(now[1])} of the shown are exact"))
    return _svg(parts, description)


def histogram(values: Sequence[float], label: str, description: str, bins: int = 20) -> str:
    """Counts of values; the last bin includes all values above the 99th percentile."""
    most = sorted(values)[int((len(values) - 1) * 0.99)]
    step = max(1, math.ceil(_round_up(most / bins)))
    counts = [0] * (int(most // step) + 1)
    for value in values:
        counts[min(int(value // step), len(counts) - 1)] += 1
    frame = _Frame(len(counts), max(counts) / len(values) * _MARGIN)
    parts = [frame.grid(label)]
    width = frame.x(1) - frame.x(0)
    for index, count in enumerate(counts):
        last = "" if index < len(counts) - 1 else " and more"
        bar = Bar(count / len(values) if count else None, None, f"{count} of {len(values)}")
        parts.append(_bar(frame, frame.x(index), width, "a", bar, f"from {index * step}{last}:"))
    every = max(1, math.ceil(len(counts) / 7))
    shift = width / 2 if step == 1 else 0  # the label of a one-value bin stands in its middle
    parts += [_below_axis(frame.x(at) + shift, str(at * step)) for at in range(0, len(counts), every)]
    return _svg(parts, description)


def percent(share: Share, digits: int = 1) -> str:
    """Such as `12.5 % (1 of 8)`; a dash without cases."""
    return "–" if share.value is None else f"{share.value * 100:.{digits}f} % ({share.count} of {share.total})"


def _ticks(frame: _Frame, values: Sequence[float]) -> str:
    return "".join(_below_axis(frame.x(value), f"{value:g}") for value in values)


def _below_axis(x: float, text: str) -> str:
    return _text(x, HEIGHT - BOTTOM + 14, text)


def _top(values: Iterable[float]) -> float:
    return min(1.0, max([0.05, *values]) * _MARGIN)


def _round_step(top: float) -> float:
    """A round step that divides the axis into about 4."""
    return _round_up(top / 4 * 0.8)


def _round_up(value: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-6)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def _digits(step: float) -> str:
    return ".0" if step >= 0.01 else ".1" if step >= 0.001 else ".2"


def _text(x: float, y: float, text: str, anchor: str = "middle", style: str = "tick") -> str:
    return f'<text class="{style}" x="{round(x, 1)}" y="{round(y, 1)}" text-anchor="{anchor}">{escape(text)}</text>'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _svg(parts: Iterable[str], description: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">{"".join(parts)}</svg>'
