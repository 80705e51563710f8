"""From a filled case to the program that tests it, as human-eval-infilling puts it together. Pure."""

from __future__ import annotations

from dgls.evaluation.case import Case


def program_of(case: Case, text: str) -> str:
    """The source of the program that ends without an exception if `text` is a right answer to `case`."""
    assert case.program is not None, f"{case.id} has no tests"
    filled = case.prefix + text + case.suffix
    return f"{filled}\n{case.program.test}\ncheck({case.program.entry_point})\n"
