"""Our own fixtures as cases: the demo's marked examples, and the places that call for a suggestion.

The first come with the package; the others (`fixtures/silence`, see its README) are there in a checkout only. Reads
the fixtures' files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dgls.errors import UnusableSource
from dgls.evaluation.cases.case import Case
from dgls.evaluation.cases.marked import MarkedSource

FOLDER = Path(__file__).parents[3] / "fixtures" / "silence"
_CURSOR = "<CURSOR>"


def fixture_cases(examples: Iterable[MarkedSource], folder: Path = FOLDER) -> list[Case]:
    """Every hole of the examples, with the others filled as their author did; then those of `folder`, if there."""
    return [*(case for example in examples for case in _marked(example)), *_answered(folder)]


def _marked(source: MarkedSource) -> Iterator[Case]:
    text = source.filled(source.authored)
    end = 0
    for number, (pinned, authored) in enumerate(zip(source.pinned, source.authored, strict=False), 1):
        start = end + len(pinned)
        end = start + len(authored)
        name = f"fixture/{source.name}/{number}"
        yield Case(name, "fixture", source.name, "python", text[:start], authored, text[end:], "examples")


def _answered(folder: Path) -> Iterator[Case]:
    """Of the cases with an answer; the others call for none."""
    for file in sorted(folder.glob("*.toml")):
        try:
            found = tomllib.loads(file.read_text(encoding="utf-8"))["case"]
            wanted = [
                (case["name"], case.get("path"), case["text"], case["answer"]) for case in found if "answer" in case
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnusableSource(f"{file} is no file of cases ({error}); see the README beside it") from None
        for name, path, text, answer in wanted:
            prefix, _, suffix = text.partition(_CURSOR)
            id = f"fixture/{file.stem}/{name}"
            yield Case(id, "fixture", path or "untitled", file.stem, prefix, answer, suffix, "fixtures")
