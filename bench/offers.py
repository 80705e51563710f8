"""Measures the time to list the actions at a place in a long file; editors request them at nearly every cursor move.

    python bench/offers.py [--lines 10000] [--rounds 200] [--seed 0]

The file consists of held-out files. The places are random: the cursor alone, twenty selected lines, the whole file, and
a place with a diagnostic. Each is measured with and without the time to parse the code around it. No model runs. The
last line is JSON: the median and the 98th percentile, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.silence import held_out_texts
from dgls.change.offer import Diagnosed, offers
from dgls.code.document import Document, Span
from dgls.code.syntax import Syntax, parse


def long_document(lines: int, seed: int) -> Document:
    texts = [text for text in held_out_texts() if "\r" not in text]
    random.Random(seed).shuffle(texts)
    joined: list[str] = []
    while len(joined) < lines:
        joined += texts[len(joined) % len(texts)].split("\n")
    return Document("file:///project/long.py", 1, "python", "\n".join(joined[:lines]) + "\n")


def places(document: Document, rounds: int, seed: int) -> Iterator[tuple[str, Span, list[Diagnosed]]]:
    chance = random.Random(seed)
    for _ in range(rounds):
        line = chance.randrange(document.line_count - 20)
        at = document.line_end(line)
        yield "cursor", Span(at, at), []
        yield "selection", Span(document.line_start(line), document.line_start(line + 20)), []
        yield "whole file", Span(0, len(document.text)), []
        code = Span(document.line_start(line), at)
        yield "diagnostic", Span(at, at), [Diagnosed(code, "undefined name")]


def measured(document: Document, rounds: int, seed: int) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = {}
    for kind, span, diagnosed in places(document, rounds, seed):
        listed = partial(_list, document, span, diagnosed)
        times.setdefault(kind, []).append(_least(partial(listed, None)))
        times.setdefault(f"{kind}, parsed before", []).append(_least(partial(listed, parse(document, span.start))))
    return {kind: _figures(sorted(seconds)) for kind, seconds in times.items()}


def _list(document: Document, span: Span, diagnosed: list[Diagnosed], syntax: Syntax | None) -> None:
    offers(document, span, syntax or parse(document, span.start), diagnosed, instructions=True)


def _least(act: Callable[[], None]) -> float:
    """The fastest of three runs, in seconds: other programs only make a run slower."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return min(times)


def _figures(seconds: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(seconds[len(seconds) // 2] * 1000, 2),
        "p98_ms": round(seconds[min(len(seconds) - 1, len(seconds) * 49 // 50)] * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    document = long_document(options.lines, options.seed)
    figures = measured(document, options.rounds, options.seed)
    for kind, row in figures.items():
        print(f"{kind:28} {row['median_ms']:8.2f} ms {row['p98_ms']:8.2f} ms")
    print(json.dumps({"lines": document.line_count, "characters": len(document.text), **figures}))


if __name__ == "__main__":
    main()
