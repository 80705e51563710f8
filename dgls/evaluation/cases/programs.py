"""From a filled case to the program that tests it, as human-eval-infilling puts it together. Pure."""

from __future__ import annotations

from dgls.evaluation.cases.case import Program


def program_of(filled: str, program: Program) -> str:
    """The source that ends without an exception if `filled`, the whole file with a fill in it, is right."""
    return f"{filled}\n{program.test}\ncheck({program.entry_point})\n"
