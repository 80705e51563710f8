"""Places in files as users type them on the command line, and their parsers for argparse.

Does not check whether the file has such a place. Reads no file.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A place in a file: line and column count from 1, the column in characters."""

    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Place:
    """A file, a line of it, or a place in that line. `-` is standard input."""

    path: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a file, counted from 1, including the last. `-` is standard input."""

    path: str
    first: int
    last: int


def target(text: str) -> Target:
    """Parse FILE:LINE:COL from the right, because a path may contain colons."""
    path, *numbers = text.rsplit(":", 2)
    if not path or len(numbers) != 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise ArgumentTypeError(f"{text!r} is no place in a file; write FILE:LINE:COL, such as app.py:12:5")
    line, column = (int(number) for number in numbers)
    if line < 1 or column < 1:
        raise ArgumentTypeError(f"{text!r}: lines and columns count from 1")
    return Target(path, line, column)


def place(text: str) -> Place:
    path, *numbers = text.rsplit(":", 2)
    while numbers and not all(number.isascii() and number.isdecimal() for number in numbers):
        path, numbers = f"{path}:{numbers[0]}", numbers[1:]  # a path may contain colons
    if not path:
        raise ArgumentTypeError(f"{text!r} is no place in a file; write FILE, FILE:LINE or FILE:LINE:COL")
    if any(int(number) < 1 for number in numbers):
        raise ArgumentTypeError(f"{text!r}: lines and columns count from 1")
    return Place(path, *map(int, numbers))


def lines(text: str) -> Lines:
    path, _, numbers = text.rpartition(":")
    numbered = _range(numbers)
    if not path or numbered is None:
        raise ArgumentTypeError(f"{text!r} names no lines; write FILE:START-END, such as app.py:12-20")
    return Lines(path, *numbered)


def _range(text: str) -> tuple[int, int] | None:
    """Parse `3-9` or `3`. Raises for impossible lines; None for any other text."""
    first, dash, last = text.partition("-")
    last = last if dash else first
    if not all(number.isascii() and number.isdecimal() for number in (first, last)):
        return None
    if int(first) < 1:
        raise ArgumentTypeError(f"{text!r}: lines count from 1")
    if int(last) < int(first):
        raise ArgumentTypeError(f"{text!r} ends before it starts; write {last}-{first}")
    return int(first), int(last)


def kept(text: str) -> tuple[tuple[int, int], ...]:
    ranges = [_range(part.strip()) for part in text.split(",")]
    valid = tuple(part for part in ranges if part is not None)
    if len(valid) < len(ranges):
        raise ArgumentTypeError(f"{text!r} names no lines; write 14 or 14,17-19")
    return valid
