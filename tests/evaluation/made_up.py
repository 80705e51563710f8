"""Cases and outcomes for tests that need no model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dgls.evaluation.cases.case import Case, CaseOutcome, Program
from dgls.evaluation.running.results import Header

CASE = Case(
    id="add",
    kind="single-line",
    path="add.py",
    language="python",
    prefix="def add(a, b):\n",
    answer="    return a + b",
    suffix="\n\n\nprint(add(1, 2))\n",
)

OUTCOME = CaseOutcome(
    id="add",
    kind="single-line",
    language="python",
    tokens=6,
    answer="    return a + b",
    raw="    return a",
    text="    return a",
    rejected=None,
    probability=0.5,
    confidence=0.5,
    shown=True,
    exact=False,
    similarity=0.8,
    parses=True,
    repeats_after=False,
    raw_repeats_after=False,
    passed=None,
    steps=8,
    passes=8,
    ms=100.0,
    finish="stable",
    piece_probabilities=(0.5, 1.0),
)

HEADER = Header(
    "tiny", "w", "cpu", "float32", "pad", {"max_steps": 8, "calibration": {"points": ((0.1, 0.2),)}}, 0, None, "c", "0"
)


def case(name: str, *, tested: bool = False, **changes: Any) -> Case:
    program = Program("def check(add):\n    assert add(1, 2) == 3\n", "add") if tested else None
    return replace(CASE, id=name, program=program, **changes)


def outcome(name: str = "add", **changes: Any) -> CaseOutcome:
    return replace(OUTCOME, id=name, **changes)
