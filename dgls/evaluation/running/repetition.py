"""Whether a fill repeats the code after it.

A fill repeats if the next lines, or the rest of the line, now appear twice. A single bracket does not count while the
brackets pair. Pure functions on text: they know neither the model nor the planner, so the count does not depend on the
repetitions that the product already removes.
"""

from __future__ import annotations

import re

from dgls.code.brackets import balance
from dgls.code.languages import Language

_NEAR = 4000
"""Characters on either side in which brackets are paired."""
_SHORTEST = 3
"""Fewer shared characters count as coincidence, unless they are the whole rest of the line."""


def repeats_after(prefix: str, fill: str, suffix: str, answer: str, language: Language) -> bool:
    """Whether `fill`, between `prefix` and `suffix`, repeats the code after it. The author's own text never counts."""
    if fill.rstrip() == answer.rstrip() or not fill.strip():
        return False
    return any(
        repeated and (_has_word(repeated) or _unpairs(prefix, fill, suffix, answer, language))
        for repeated in (_lines_again(prefix, fill, suffix), _rest_again(fill, suffix))
    ) and not (answer.strip() and repeats_after(prefix, answer, suffix, "", language))


def _lines_again(prefix: str, fill: str, suffix: str) -> str:
    """The fill's last lines if they equal the next lines below; the last of several may be incomplete."""
    left = prefix.rpartition("\n")[2]
    rest, _, below = suffix.partition("\n")
    if rest.strip() and "\n" not in fill:
        return ""
    lines, following = _written(left + fill), _written(below if not rest.strip() else suffix)
    for start in range(len(lines)):
        again = lines[start:]
        whole, last = again[:-1], again[-1]
        there = following[: len(again)]
        if len(there) < len(again) or whole != there[:-1]:
            continue
        if last == there[-1] or (whole and there[-1].startswith(last)):
            return "\n".join(again)
    return ""


def _rest_again(fill: str, suffix: str) -> str:
    """The longest suffix of the fill that starts the rest of the line."""
    rest = suffix.partition("\n")[0].strip()
    fill = fill.rstrip()
    for length in range(min(len(rest), len(fill)), 0, -1):
        whole = length == len(rest)
        if fill.endswith(rest[:length]) and (whole or length >= _SHORTEST) and not _splits_word(fill, rest, length):
            return rest[:length]
    return ""


def _splits_word(fill: str, rest: str, length: int) -> bool:
    """Whether the shared text is part of a word on either side: `items` before `s)` repeats nothing."""
    before, after = fill[-length - 1 : -length], rest[length : length + 1]
    return bool(re.match(r"\w\w", before + rest[:1]) or re.match(r"\w\w", rest[length - 1] + after))


def _has_word(text: str) -> bool:
    return re.search(r"\w", text) is not None


def _unpairs(prefix: str, fill: str, suffix: str, answer: str, language: Language) -> bool:
    """Whether the fill leaves more unpaired brackets than the author's text."""

    def alone(middle: str) -> int:
        unpaired = balance(prefix[-_NEAR:] + middle + suffix[:_NEAR], language)
        return len(unpaired.openers) + len(unpaired.closers)

    return alone(fill) > alone(answer)


def _written(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]
