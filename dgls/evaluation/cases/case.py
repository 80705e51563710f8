"""The case that is evaluated and its outcome: the two records that this package shares. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dgls_engine.types import Finish

Kind = Literal["single-line", "multi-line", "random-span", "mid-word", "multi-file", "fixture"]


@dataclass(frozen=True, slots=True)
class Program:
    """The tests of a case, as human-eval-infilling writes them."""

    test: str
    entry_point: str

    @property
    def tests(self) -> str:
        """A program that ends without an exception if the filled file, which it imports from, passes the tests."""
        return f"from program import {self.entry_point}\n{self.test}\ncheck({self.entry_point})\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A hole in a file: `prefix + answer + suffix` is the file as its author wrote it.

    `id` is unique in its set and stable from run to run. `package` is the file's distribution or folder. `root` is the
    folder whose other files may be read as context, or None.
    """

    id: str
    kind: Kind
    path: str
    language: str
    prefix: str
    answer: str
    suffix: str
    package: str = ""
    root: str | None = None
    program: Program | None = None


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """The outcome of one case. It is a line of a results file, so each field is plain JSON; None: does not apply.

    `raw` is the engine's text; `text` is the suggestion made from it ("" if `rejected`, which gives the reason).
    `tokens` is the answer's length under the model's tokenizer. `probability` is the model's own figure; `confidence`
    is calibrated, None if the model is not. `shown`: an automatic suggestion would have been shown. `parses`: the file
    still parses with `text` in it (None if the author's does not, or there is no `text`). `repeats_after`: `text`
    repeats the code that follows; `raw_repeats_after`: `raw` does. `passed`: its tests passed. `passes`: forward passes
    over the canvas, including those that only score, without the prompt's. `ms`: the engine's milliseconds, including
    the prompt's. Without a `finish` the model was not run, because the hole did not fit its canvas.
    """

    id: str
    kind: Kind
    language: str
    tokens: int
    answer: str
    raw: str
    text: str
    rejected: str | None
    probability: float
    confidence: float | None
    shown: bool
    exact: bool
    similarity: float
    parses: bool | None
    repeats_after: bool
    raw_repeats_after: bool
    passed: bool | None
    steps: int
    passes: int
    ms: float
    finish: Finish | None
    piece_probabilities: tuple[float, ...] = ()
