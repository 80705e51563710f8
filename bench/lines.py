"""Single lines to fill for the other programs: from a HumanEval-Infilling file, or cut into a folder of source.

The indentation is not part of the hole, as in an editor that indents new lines.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dgls.evaluation.cases.case import Case
from dgls.evaluation.cases.cutting import cut
from dgls.evaluation.cases.dataset import read_dataset


def add_arguments(parser: argparse.ArgumentParser, holes: int) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--dataset", type=Path, metavar="FILE", help="a HumanEval-Infilling file with single lines")
    where.add_argument("--source", type=Path, metavar="DIR", help="a folder that no model was trained on")
    parser.add_argument("--holes", type=int, default=holes)
    parser.add_argument("--seed", type=int, default=0)


def chosen(options: argparse.Namespace) -> list[Case]:
    """The first `--holes` of the cases in random order. Lines that follow each other are seldom of one file, so no
    prompt is a continuation of the last one."""
    if options.source is not None:
        return cut(options.source, options.seed, options.holes, ("single-line",))
    cases = [case for case in map(_indented, read_dataset(options.dataset)) if _is_line(case)]
    random.Random(options.seed).shuffle(cases)
    return cases[: options.holes]


def name_of(options: argparse.Namespace) -> str:
    return str((options.dataset or options.source).name)


def interleaved(names: Sequence[str], turn: int) -> list[str]:
    """The names in another order at each turn, so that none of them always runs first."""
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def _indented(case: Case) -> Case:
    code = case.answer.lstrip()
    indentation = case.answer[: len(case.answer) - len(code)]
    return replace(case, prefix=case.prefix + indentation, answer=code)


def _is_line(case: Case) -> bool:
    return case.kind == "single-line" and bool(case.answer.strip()) and "\n" not in case.answer
