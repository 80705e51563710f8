"""Draws edits from held-out packages: of each kind alike, of other files where possible."""

from __future__ import annotations

import ast
import random

from bench.edits.source import Case, Maker, Source, sources
from bench.edits.unwanted import UNWANTED
from bench.edits.wanted import WANTED


def cases(count: int, wanted: bool, seed: int, invented: bool = False) -> list[Case]:
    """`count` cases, of all kinds alike, of other files where possible. `invented`: the authors' code is where wanted
    edits begin, and they lead to names from other files."""
    order = random.Random(seed)
    found = list(sources(order, invented))
    makers = WANTED if wanted else UNWANTED
    pools = {kind: _pool(maker, found, -(-count // len(makers)), order) for kind, maker in makers.items()}
    each = [case for round in range(count) for pool in pools.values() for case in pool[round : round + 1]]
    return each[:count]


def _pool(maker: Maker, found: list[Source], count: int, order: random.Random) -> list[Case]:
    made: list[Case] = []
    files = order.sample(found, len(found))
    for _ in range(4):
        for source in files:
            if len(made) >= count:
                return made
            if (case := next(maker(source, order), None)) is not None and case not in made and _parses(case):
                made.append(case)
    return made


def _parses(case: Case) -> bool:
    try:
        for text in (case.base, case.edited, case.final, *(each.final for each in case.others)):
            ast.parse(text)
    except SyntaxError:
        return False
    return case.base != case.edited and case.edited.count("\n") == case.final.count("\n")
