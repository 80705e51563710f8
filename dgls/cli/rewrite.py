"""`dgls rewrite`: lines of a file written anew, or changed a little."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from dgls.change.task import MORE, Action, Task
from dgls.cli.acting import PIPED, UnusableOptions, act, line_span, read
from dgls.cli.targets import Lines


def run(options: Namespace) -> int:
    lines: Lines = options.target or options.piped
    if options.strength is not None and options.instruction:
        raise UnusableOptions("--strength changes code without being told how; leave it or --instruction out")
    keep = tuple(_kept(lines, options.keep))
    source, document = read(lines.path, options)
    task = Task(
        Action.REWRITE if options.strength is None else Action.REFINE,
        line_span(document, lines.first, lines.last),
        options.instruction,
        options.strength or MORE,
        keep,
    )
    return act(task, source, document, lines.path == PIPED, options)


def _kept(lines: Lines, ranges: tuple[tuple[int, int], ...]) -> Iterator[int]:
    """From 0. Raises `UnusableOptions` for lines that would stay anyway: whoever named them meant others."""
    for first, last in ranges:
        if first < lines.first or last > lines.last:
            wrong = first if first < lines.first or first > lines.last else last
            raise UnusableOptions(
                f"--keep names line {wrong}, outside of {lines.first}-{lines.last}, which stays anyway"
            )
        yield from range(first - 1, last)
