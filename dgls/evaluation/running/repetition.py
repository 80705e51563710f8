"""Does a fill say once more what stands behind it anyway?

What a user calls a repetition: the line they see below stands there twice now, or the rest of the line does. A lone
bracket is none as long as the brackets pair. Pure functions on text; they know neither the model nor the planner,
so that what they count does not depend on what the product already takes away.
"""

from __future__ import annotations

import re

from dgls.code.brackets import balance
from dgls.code.languages import Language

_NEAR = 4000
"""Characters on either side in which brackets are paired."""
_SHORTEST = 3
"""Characters of the rest of the line that are no coincidence, short of all of it."""


def repeats_after(prefix: str, fill: str, suffix: str, answer: str, language: Language) -> bool:
    """Whether `fill`, between `prefix` and `suffix`, repeats the code after it. What its author wrote does not."""
    if fill.rstrip() == answer.rstrip() or not fill.strip():
        return False
    return any(
        repeated and (_says_something(repeated) or _unpairs(prefix, fill, suffix, answer, language))
        for repeated in (_lines_again(prefix, fill, suffix), _rest_again(fill, suffix))
    ) and not (answer.strip() and repeats_after(prefix, answer, suffix, "", language))


def _lines_again(prefix: str, fill: str, suffix: str) -> str:
    """The fill's last lines where they are the next ones below; the last of several may be cut short."""
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
    """The longest end of the fill with which the rest of the line starts."""
    rest = suffix.partition("\n")[0].strip()
    fill = fill.rstrip()
    for length in range(min(len(rest), len(fill)), 0, -1):
        whole = length == len(rest)
        if fill.endswith(rest[:length]) and (whole or length >= _SHORTEST) and not _splits_word(fill, rest, length):
            return rest[:length]
    return ""


def _splits_word(fill: str, rest: str, length: int) -> bool:
    """Is what both share only a part of a word on either side? `items` before `s)` says nothing twice."""
    before, after = fill[-length - 1 : -length], rest[length : length + 1]
    return bool(re.match(r"\w\w", before + rest[:1]) or re.match(r"\w\w", rest[length - 1] + after))


def _says_something(text: str) -> bool:
    return re.search(r"\w", text) is not None


def _unpairs(prefix: str, fill: str, suffix: str, answer: str, language: Language) -> bool:
    """Are more brackets without a partner than the author left?"""

    def alone(middle: str) -> int:
        found = balance(prefix[-_NEAR:] + middle + suffix[:_NEAR], language)
        return len(found.openers) + len(found.closers)

    return alone(fill) > alone(answer)


def _written(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]
